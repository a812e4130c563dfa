//! `muster test`.

use serde_json::json;

use crate::cli::context::Context;
use crate::cli::exit::Code;
use crate::cli::failure::{Failure, Kind};
use crate::cli::printer::Printer;
use crate::cli::render::look::{Glyph, Tone};
use crate::cli::render::view::View;
use crate::cli::render::when;
use crate::journal::Record;
use crate::model::Value;
use crate::model::span::Source;
use crate::playbook::diagnostic::{self, Diagnostic, Style};
use crate::trial::{Mismatch, Suite, SuiteError, Verdict};

/// Run the tests that playbooks bring along: tests/*.yaml in their folders.
///
/// Each test is one run of the same engine in the sandbox, in memory and in virtual time: in this world and with these
/// parameters, when this call fails, these effects, this end and this exit code. Without a name, those of the playbook in
/// this folder, or else of all in ./playbooks. Exits with 1 if one fails.
///
/// Example: muster test omnichat-restore --filter "no space"
#[derive(clap::Args)]
pub struct Args {
    /// Playbooks: folders or names.
    #[arg(value_name = "PLAYBOOK")]
    playbooks: Vec<String>,
    /// Only tests with this in their name, or in their file's.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Form of the results.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Form,
}

/// Form of the results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
    /// For build servers.
    Junit,
}

/// The results of one playbook.
struct Results {
    playbook: String,
    sources: Vec<Source>,
    verdicts: Vec<(u16, Verdict)>,
}

/// Does it.
///
/// # Errors
/// When a playbook or its tests are not valid.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    let names = if args.playbooks.is_empty() { super::lint::here()? } else { args.playbooks.clone() };
    let mut all = Vec::new();
    for name in &names {
        let suite = Suite::load(name).map_err(|error| explain(error, context.printer))?;
        if suite.tests.is_empty() {
            context.printer.note(&format!("{name} has no tests: a file tests/*.yaml in its folder holds some"));
        }
        let fits = |number: u16, test: &str| {
            let file = suite.sources.get(usize::from(number)).map_or("", |source| source.name.as_str());
            args.filter.as_ref().is_none_or(|filter| test.contains(filter.as_str()) || file.contains(filter.as_str()))
        };
        let chosen = suite.tests.iter().filter(|(number, trial)| fits(*number, &trial.name.value));
        let verdicts = chosen.map(|(number, trial)| (*number, suite.run(trial, &exit_code))).collect();
        let playbook = suite.bundle.playbook.name.value.clone();
        let results = Results { playbook, sources: suite.sources, verdicts };
        if args.output == Form::Table {
            context.printer.result(&text(&results, context.printer))?;
        }
        all.push(results);
    }
    match args.output {
        Form::Table => {}
        Form::Json => context.printer.json(&all.iter().flat_map(to_json).collect::<Vec<_>>())?,
        Form::Junit => context.printer.result(&junit(&all))?,
    }
    let verdicts = || all.iter().flat_map(|results| &results.verdicts).map(|(_, verdict)| verdict);
    let failed = verdicts().filter(|verdict| !verdict.passed()).count();
    context.printer.note(&format!("{} passed, {failed} failed", verdicts().count() - failed));
    Ok(if failed > 0 { Code::Error } else { Code::Done })
}

fn exit_code(records: &[Record]) -> u8 {
    let mut view = View::default();
    records.iter().for_each(|record| view.apply(record));
    Code::of_run(&view) as u8
}

fn explain(error: SuiteError, printer: Printer) -> Failure {
    match error {
        SuiteError::Invalid { diagnostics, sources } => {
            printer.explain(crate::app::AppError::Invalid { diagnostics, sources })
        }
        SuiteError::Playbook(error) => crate::app::AppError::Playbook(error).into(),
        SuiteError::Script(error) => Failure::new(Kind::Invalid, error.to_string()),
    }
}

fn text(results: &Results, printer: Printer) -> String {
    let look = printer.out;
    let style = Style { color: look.colour, graphical: look.unicode && look.colour, width: look.width };
    let mut text = String::new();
    for (_, verdict) in &results.verdicts {
        let glyph = look.glyph(if verdict.passed() { Glyph::Done } else { Glyph::Failed });
        let ended = verdict.status.map_or_else(
            || "not run".to_owned(),
            |status| format!("{} in {}, {} effects", status.as_str(), when::took(verdict.took), verdict.effects),
        );
        let ended = look.paint(Tone::Faint, &format!("({ended})"));
        text.push_str(&format!("{glyph} {}: {}  {ended}\n", results.playbook, verdict.name.value));
        for mismatch in &verdict.mismatches {
            let message = format!("{}: expected {}, found {}", mismatch.what, mismatch.expected, mismatch.found);
            let fault = Diagnostic::error("not-as-expected", mismatch.span, message);
            text.push_str(&diagnostic::render(&[fault], &results.sources, style));
            for line in &mismatch.diff {
                let tone = match line.chars().next() {
                    Some('-') => Tone::Bad,
                    Some('+') => Tone::Good,
                    _ => Tone::Faint,
                };
                text.push_str(&format!("    {}\n", look.paint(tone, line)));
            }
        }
    }
    text
}

/// File, line and column of what is expected.
fn place(mismatch: &Mismatch, sources: &[Source]) -> (String, usize, usize) {
    let source = sources.get(usize::from(mismatch.span.source));
    let (line, column) = source.map_or((0, 0), |source| {
        diagnostic::line_column(&source.text, usize::try_from(mismatch.span.start).unwrap_or(0))
    });
    (source.map(|source| source.name.clone()).unwrap_or_default(), line, column)
}

fn to_json(results: &Results) -> Vec<Value> {
    let of = |(number, verdict): &(u16, Verdict)| {
        let mismatches = verdict.mismatches.iter().map(|mismatch| {
            let (file, line, column) = place(mismatch, &results.sources);
            json!({
                "what": mismatch.what,
                "expected": mismatch.expected,
                "found": mismatch.found,
                "diff": mismatch.diff,
                "file": file,
                "line": line,
                "column": column,
            })
        });
        json!({
            "playbook": results.playbook,
            "file": results.sources.get(usize::from(*number)).map(|source| source.name.clone()),
            "test": verdict.name.value,
            "passed": verdict.passed(),
            "status": verdict.status.map(|status| status.as_str()),
            "took_ms": u64::try_from(verdict.took.as_millis()).unwrap_or(u64::MAX),
            "effects": verdict.effects,
            "mismatches": mismatches.collect::<Vec<_>>(),
        })
    };
    results.verdicts.iter().map(of).collect()
}

fn junit(all: &[Results]) -> String {
    let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n".to_owned();
    for results in all {
        let failed = results.verdicts.iter().filter(|(_, verdict)| !verdict.passed()).count();
        let (name, count) = (xml(&results.playbook), results.verdicts.len());
        text.push_str(&format!("  <testsuite name=\"{name}\" tests=\"{count}\" failures=\"{failed}\">\n"));
        for (number, verdict) in &results.verdicts {
            let file = results.sources.get(usize::from(*number)).map_or("", |source| source.name.as_str());
            let test = xml(&verdict.name.value);
            let head = format!("    <testcase classname=\"{name}\" name=\"{test}\" file=\"{}\"", xml(file));
            if verdict.passed() {
                text.push_str(&format!("{head}/>\n"));
                continue;
            }
            text.push_str(&format!("{head}>\n"));
            for mismatch in &verdict.mismatches {
                let (file, line, column) = place(mismatch, &results.sources);
                let message = format!("{}: expected {}, found {}", mismatch.what, mismatch.expected, mismatch.found);
                let detail = format!("{file}:{line}:{column}\n{}", mismatch.diff.join("\n"));
                text.push_str(&format!(
                    "      <failure message=\"{}\">{}</failure>\n",
                    xml(&message),
                    xml(detail.trim_end())
                ));
            }
            text.push_str("    </testcase>\n");
        }
        text.push_str("  </testsuite>\n");
    }
    text + "</testsuites>\n"
}

/// Text within XML. What XML cannot hold at all becomes U+FFFD.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            c if c.is_control() && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
