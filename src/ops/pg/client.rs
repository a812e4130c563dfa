//! PostgreSQL's own tools: where they run, how they are told whom to talk to, and what their complaints mean.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::fault::{ErrorClass, OpError, Target};
use crate::ops::Touch;
use crate::ops::args::Confidential;
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::docker::check_name;
use crate::ops::docker::client::{CALL_VARIABLE, client, explain as explain_container, tail};
use crate::ops::process::{Captured, ReadCommand};

/// A PostgreSQL server, and as whom to talk to it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// The container it runs in. The tools then run inside it too, over its local socket unless `host` says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The role; the container's POSTGRES_USER when absent, else the name of the OS user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Host name, address or folder of the socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Port; 5432 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The password: a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Confidential>,
    /// `disable`, `prefer`, `require`, `verify-ca` or `verify-full`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sslmode: Option<String>,
}

/// Runs inside a container before a script: the role is the one that the container's own entrypoint made, unless said
/// otherwise.
const PROLOGUE: &str = "export PGUSER=\"${PGUSER:-${POSTGRES_USER:-postgres}}\"\n";

/// The script that is just a tool.
const JUST: &str = "exec \"$@\"";

impl Server {
    /// The name it goes by.
    #[must_use]
    pub fn name(&self) -> String {
        match (&self.container, &self.host, self.port) {
            (Some(container), None, _) => container.clone(),
            (_, Some(host), Some(port)) => format!("{}:{port}", host.trim_start_matches('/')),
            (_, Some(host), None) => host.trim_start_matches('/').to_owned(),
            (None, None, Some(port)) => format!("localhost:{port}"),
            (None, None, None) => "localhost".to_owned(),
        }
    }

    /// One of its databases, as something that is changed: it lies in the container of the server, if that is in one.
    #[must_use]
    pub fn touched(&self, database: &str) -> Touch {
        let touch = Touch::changes(self.resource(database));
        match &self.container {
            Some(container) => touch.held_by(format!("docker/{container}")),
            None => touch,
        }
    }

    /// The resource of one of its databases.
    #[must_use]
    pub fn resource(&self, database: &str) -> String {
        format!("pg/{}/{database}", self.name())
    }

    fn environment(&self, context: &ReadContext<'_>, database: &str) -> Result<BTreeMap<String, String>, OpError> {
        let mut env = BTreeMap::new();
        let mut set = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                env.insert(name.to_owned(), value);
            }
        };
        // By environment rather than argument: a database name given as an argument may be read as a connection string.
        set("PGDATABASE", Some(database.to_owned()));
        set("PGUSER", self.user.clone());
        set("PGHOST", self.host.clone());
        set("PGPORT", self.port.map(|port| port.to_string()));
        set("PGSSLMODE", self.sslmode.clone());
        set("PGPASSWORD", self.password.as_ref().map(|password| password.reveal(context.secrets)).transpose()?);
        set("PGCONNECT_TIMEOUT", Some("10".to_owned()));
        set("PGCLIENTENCODING", Some("UTF8".to_owned()));
        // The server shows it beside the sessions, where the probe finds them.
        set("PGAPPNAME", Some(if context.key.is_empty() { "muster".to_owned() } else { context.key.to_owned() }));
        Ok(env)
    }

    /// A call of one of PostgreSQL's tools.
    ///
    /// # Errors
    /// Refused for a container name that is none; credentials when the password's source is not there.
    pub fn tool(&self, context: &ReadContext<'_>, database: &str, argv: &[&str]) -> Result<ReadCommand, OpError> {
        self.script(context, database, JUST, argv)
    }

    /// A call of a shell script where the tools are; `argv` are its arguments.
    ///
    /// # Errors
    /// As [`Server::tool`].
    pub fn script(
        &self,
        context: &ReadContext<'_>,
        database: &str,
        script: &str,
        argv: &[&str],
    ) -> Result<ReadCommand, OpError> {
        let env = self.environment(context, database)?;
        let words = argv.iter().map(|word| (*word).to_owned());
        let Some(container) = &self.container else {
            // Without a container there is nothing to prepare, and a tool needs no shell.
            let shell = if script == JUST { &[][..] } else { &["sh", "-c", script, "sh"] };
            let argv = shell.iter().map(|word| (*word).to_owned()).chain(words).collect();
            return Ok(ReadCommand { argv, env, ..ReadCommand::default() });
        };
        check_name("container", container)?;
        let mut command = client(["exec", "-i"]);
        if !context.key.is_empty() {
            command.argv.extend(["-e".to_owned(), format!("{CALL_VARIABLE}={}", context.key)]);
        }
        for name in env.keys() {
            command.argv.extend(["-e".to_owned(), name.clone()]);
        }
        command.argv.extend([container, "sh", "-c", &format!("{PROLOGUE}{script}"), "sh"].map(str::to_owned));
        command.argv.extend(words);
        command.env.extend(env);
        Ok(command)
    }

    fn psql(&self, context: &ReadContext<'_>, query: &Query<'_>) -> Result<ReadCommand, OpError> {
        let mut argv = vec!["psql", "-X", "-w", "-A", "-t", "-v", "ON_ERROR_STOP=1"];
        argv.extend(query.options);
        let variables: Vec<String> = query.variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        for variable in &variables {
            argv.extend(["-v", variable]);
        }
        argv.extend(["-f", "-"]);
        let mut command = self.tool(context, query.database, &argv)?;
        command.stdin = Some(format!("{}\n\\echo '{END}'\n", query.sql).into_bytes());
        command.timeout = query.timeout;
        command.any_exit = true;
        Ok(command)
    }
}

/// SQL for psql, in which `:'name'` and `:"name"` stand for variables, quoted as texts and as names.
#[derive(Default)]
pub struct Query<'q> {
    /// What it is for: `cannot list the databases of server x`.
    pub act: &'q str,
    /// Where.
    pub database: &'q str,
    /// The SQL, given on standard input.
    pub sql: &'q str,
    /// The variables.
    pub variables: &'q [(&'q str, &'q str)],
    /// More options of psql.
    pub options: &'q [&'q str],
    /// How long it may take.
    pub timeout: Option<Duration>,
}

/// What psql prints last. The container client may lose the end of what a program inside printed, or all of it, and still
/// end well (podman issue 9096): an answer counts only when its end is there.
const END: &str = "muster: end of answer";

/// How often a question is asked whose answer was lost.
const TRIES: usize = 4;

/// The database that every server has, for questions about the server.
pub const MAINTENANCE: &str = "postgres";

impl Server {
    /// Asks by psql; what it prints, without tags.
    ///
    /// # Errors
    /// As [`explain`]. A connection lost underway is transient: nothing was written.
    pub fn ask(&self, context: &ReadContext<'_>, query: &Query<'_>) -> Result<String, OpError> {
        let options = [&["-q"], query.options].concat();
        // Only what writes bears the key of the call: a question that lingers must not look like the effect itself.
        let context = &ReadContext { key: "", ..*context };
        let command = self.psql(context, &Query { options: &options, ..*query })?;
        let mut tries = TRIES;
        loop {
            tries -= 1;
            let seen = context.run_read(&command)?;
            if tries > 0 && is_lost(&seen) {
                continue;
            }
            return self.answer(query, &seen).map_err(|error| match error.class {
                ErrorClass::Unknown => OpError { class: ErrorClass::Transient, ..error },
                _ => error,
            });
        }
    }

    /// Asks for one JSON value.
    ///
    /// # Errors
    /// As [`Server::ask`].
    pub fn ask_json(&self, context: &ReadContext<'_>, query: &Query<'_>) -> Result<Value, OpError> {
        let text = self.ask(context, query)?;
        serde_json::from_str(&text)
            .map_err(|e| OpError::failed(format!("{}: the answer is no JSON: {e}", query.act)).with_detail(tail(&text)))
    }

    /// Changes something by psql; what it prints.
    ///
    /// # Errors
    /// As [`explain`].
    pub fn tell(&self, context: &WriteContext<'_>, query: &Query<'_>) -> Result<String, OpError> {
        let seen = context.run_write(&self.psql(&context.read, query)?)?;
        self.answer(query, &seen)
    }

    fn answer(&self, query: &Query<'_>, seen: &Captured) -> Result<String, OpError> {
        match seen.stdout.trim_end().strip_suffix(END) {
            Some(answer) if seen.code == 0 => Ok(answer.trim().to_owned()),
            _ if is_lost(seen) => Err(OpError::unknown(format!("{}: the answer was lost on its way", query.act))
                .with_detail(tail(&seen.stdout))
                .with_hint("the container client cut it short; ask again")),
            _ => Err(explain(query.act, self, seen.code, &seen.stderr)),
        }
    }

    /// The identity of the server.
    ///
    /// # Errors
    /// When it cannot be asked now.
    pub fn target(&self, context: &ReadContext<'_>) -> Result<Option<Target>, OpError> {
        let act = format!("cannot identify PostgreSQL server {}", self.name());
        let sql = "select system_identifier from pg_control_system();";
        let identity = self.ask(context, &Query { act: &act, database: MAINTENANCE, sql, ..Query::default() })?;
        Ok(Some(Target { name: format!("postgres {}", self.name()), identity }))
    }

    /// How many sessions of the call with this key the server still has.
    ///
    /// # Errors
    /// When it cannot be asked now.
    pub fn sessions_of(&self, context: &ReadContext<'_>, key: &str) -> Result<u64, OpError> {
        let act = format!("cannot list the sessions of PostgreSQL server {}", self.name());
        let sql = "select count(*) from pg_stat_activity where application_name = :'key' and pid <> pg_backend_pid();";
        let variables = [("key", key)];
        let query = Query { act: &act, database: MAINTENANCE, sql, variables: &variables, ..Query::default() };
        let answer = self.ask(context, &query)?;
        answer.parse().map_err(|_| OpError::transient(format!("{act}: it answered `{answer}` instead of a number")))
    }
}

/// Whether a tool's words were lost: it failed without a complaint, or ended well without the end of its answer.
fn is_lost(seen: &Captured) -> bool {
    if seen.code == 0 { !seen.stdout.trim_end().ends_with(END) } else { seen.stderr.trim().is_empty() }
}

/// What a complaint of one of PostgreSQL's tools means.
#[must_use]
pub fn explain(act: &str, server: &Server, code: i32, stderr: &str) -> OpError {
    use ErrorClass as C;
    let has = |part: &str| stderr.contains(part);
    let name = server.name();
    let user = server.user.as_deref().unwrap_or("the default role");
    let from_container = server.container.is_some()
        && (stderr.starts_with("Error:") || stderr.starts_with("Error response from daemon") || has("OCI runtime"));
    let (class, fault, hint): (C, String, &str) = if from_container {
        return explain_container(act, &name, code, stderr);
    } else if code == 127 {
        (
            C::Refused,
            "PostgreSQL's client tools are not there".to_owned(),
            "install postgresql-client where the tools have to run: in the container if `container` is given, else \
             here",
        )
    } else if has("password authentication failed")
        || has("no password supplied")
        || has("authentication failed for user")
    {
        (
            C::Credentials,
            format!("server {name} refused the password of {user}"),
            "check the secret that `password` names",
        )
    } else if has("no pg_hba.conf entry") {
        (
            C::Credentials,
            format!("server {name} lets {user} in from nowhere near here"),
            "look at pg_hba.conf and sslmode",
        )
    } else if has("is starting up")
        || has("is shutting down")
        || has("is in recovery mode")
        || has("not yet accepting connections")
    {
        (C::Transient, format!("server {name} is starting up or shutting down"), "wait for it with pg.wait_ready")
    } else if has("too many clients") || has("remaining connection slots") {
        (C::Transient, format!("server {name} has no free connection"), "stop what holds them, or wait")
    } else if has("Connection refused") || has("could not connect to server") || has("timeout expired") {
        (
            C::Transient,
            format!("server {name} does not accept connections"),
            "check that it runs, its host and its port",
        )
    } else if has("could not translate host name") {
        (C::Refused, format!("there is no host {name}"), "check `server.host`")
    } else if has("connection to server on socket") && has("No such file or directory") {
        (
            C::Transient,
            format!("server {name} does not accept connections"),
            "check that it runs; it may just be starting",
        )
    } else if has("unsupported version") && has("file header") {
        (
            C::Refused,
            "the dump is in a newer format than this pg_restore knows".to_owned(),
            "restore it with the tools of the version that made it, or a newer one",
        )
    } else if has("server version mismatch") || has("aborting because of server version") {
        (
            C::Refused,
            "pg_dump is older than the server".to_owned(),
            "use the server's own tools: set `server.container`",
        )
    } else if has("unrecognized configuration parameter") {
        (
            C::Failed,
            "the dump sets something that this server does not know: it was made by a newer version".to_owned(),
            "restore it into a server of the version that made it, or a newer one",
        )
    } else if has("input file appears to be a text format dump") || has("does not appear to be a valid archive") {
        (C::Refused, "the file is no dump in custom format".to_owned(), "make dumps with pg.dump or `pg_dump -Fc`")
    } else if has("could not read from input file") || has("unexpected end of file") || has("found unexpected block ID")
    {
        (C::Failed, "the dump is cut short or damaged".to_owned(), "take another copy of it; this one is no backup")
    } else if has("No space left on device") || has("could not extend file") || has("could not write to file") {
        (C::Failed, format!("the disk of server {name} is full"), "free space there, then try again")
    } else if has("is being accessed by other users") {
        (
            C::Refused,
            "other sessions are connected to the database".to_owned(),
            "stop the programs that write to it; pg.terminate ends sessions, `terminate: true` does so here",
        )
    } else if has("cannot execute") && has("in a read-only transaction") {
        (C::Refused, "it would write, and only reading is allowed here".to_owned(), "use pg.execute for what writes")
    } else if (has("database \"") || has("role \"") || has("relation \"") || has("schema \"")) && has("does not exist")
    {
        (C::Refused, missing(stderr), "pg.databases lists what there is; check the spelling and `server.user`")
    } else if stderr.lines().any(|line| after_marker(line).is_some() && line.ends_with("already exists")) {
        (C::Refused, "the name is taken".to_owned(), "choose another name, or remove the old one first")
    } else if MAY_NOT.into_iter().any(has) {
        (C::Refused, format!("{user} may not do that on server {name}"), "grant the privilege, or use another role")
    } else if has("server closed the connection unexpectedly")
        || has("terminating connection")
        || has("connection to server was lost")
        || has("SSL SYSCALL error")
        || code >= 128
    {
        (
            C::Unknown,
            format!("the connection to server {name} was lost underway"),
            "the probe finds out what became of it",
        )
    } else {
        (C::Failed, first_error(stderr, code), "the detail is what the server itself said")
    };
    let denied = class == C::Refused && MAY_NOT.into_iter().any(has);
    let error = OpError { denied, ..OpError::new(class, format!("{act}: {fault}")) };
    error.with_detail(tail(stderr)).with_hint(hint)
}

/// How PostgreSQL says that a role lacks a privilege.
const MAY_NOT: [&str; 3] = ["permission denied", "must be owner", "must be superuser"];

fn after_marker(line: &str) -> Option<&str> {
    ["FATAL:  ", "ERROR:  ", "error: "].iter().find_map(|marker| line.split_once(marker).map(|(_, said)| said.trim()))
}

fn first_error(stderr: &str, code: i32) -> String {
    stderr.lines().find_map(after_marker).map_or_else(|| format!("the tool ended with exit code {code}"), str::to_owned)
}

fn missing(stderr: &str) -> String {
    stderr
        .lines()
        .filter(|line| line.contains("does not exist"))
        .find_map(after_marker)
        .unwrap_or("something it names does not exist")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class_of(stderr: &str) -> ErrorClass {
        explain("cannot ask", &Server::default(), 2, stderr).class
    }

    #[test]
    fn a_complaint_says_whether_asking_again_may_help() {
        use ErrorClass as C;
        for (said, class) in [
            ("psql: error: FATAL:  password authentication failed for user \"x\"", C::Credentials),
            ("FATAL:  the database system is starting up", C::Transient),
            ("connection to server at \"h\", port 5432 failed: Connection refused", C::Transient),
            ("FATAL:  database \"nope\" does not exist", C::Refused),
            ("ERROR:  could not extend file \"base/1\": No space left on device", C::Failed),
            ("pg_restore: error: unsupported version (1.17) in file header", C::Refused),
            ("FATAL:  terminating connection due to administrator command", C::Unknown),
            ("ERROR:  division by zero", C::Failed),
        ] {
            assert_eq!(class_of(said), class, "{said}");
        }
    }

    #[test]
    fn the_fault_names_what_is_missing() {
        let error =
            explain("cannot ask", &Server::default(), 2, "psql: error: FATAL:  database \"nope\" does not exist");
        assert_eq!(error.message, "cannot ask: database \"nope\" does not exist");
    }
}
