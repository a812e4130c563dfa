//! Questions are woven into a script's text before it is compiled, so that none is answered by Rhai itself, which would answer over
//! unknowns without telling: conditions, operands of `&&`, `||` and `??`, texts with expressions inside, loops and `catch`. Lines
//! stay where they are; [`super::edits::Woven::column`] finds the columns again.

use std::collections::BTreeSet;

use super::edits::{Edit, Order, Woven, apply, begins};
use super::lex::{Kind, Token, tokens};

/// Methods that change nothing. Any other may change the variable it is called on.
pub const PURE: &[&str] = &[
    "abs",
    "all",
    "bytes",
    "ceiling",
    "chars",
    "contains",
    "ends_with",
    "exp",
    "extract",
    "filter",
    "find",
    "find_map",
    "floor",
    "for_each",
    "get",
    "index_of",
    "int",
    "is_empty",
    "is_nan",
    "keys",
    "len",
    "map",
    "max",
    "min",
    "order",
    "order_by",
    "order_desc",
    "parse_float",
    "parse_int",
    "reduce",
    "reduce_rev",
    "round",
    "some",
    "split",
    "split_rev",
    "sqrt",
    "starts_with",
    "sub_string",
    "to_chars",
    "to_debug",
    "to_float",
    "to_int",
    "to_json",
    "to_lower",
    "to_string",
    "to_upper",
    "type_of",
    "values",
    "zip",
];

/// Weaves the questions in.
#[must_use]
pub fn weave(text: &str) -> Woven {
    let mut edits = Vec::new();
    if let Some(tokens) = tokens(text)
        && let Some(partner) = partners(&tokens)
    {
        let mut weaver = Weaver {
            tokens,
            partner,
            edits: Vec::new(),
            scopes: vec![Scope::default()],
            whiles: Vec::new(),
            closures: Vec::new(),
        };
        weaver.weave();
        edits = weaver.edits;
    }
    apply(text, edits)
}

/// For every bracket, its partner.
fn partners(tokens: &[Token<'_>]) -> Option<Vec<usize>> {
    let mut partner = vec![usize::MAX; tokens.len()];
    let mut open = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if matches!(token.kind, Kind::Close | Kind::TextClose | Kind::TextMiddle) {
            let begin: usize = open.pop()?;
            partner[begin] = at;
            partner[at] = begin;
        }
        if matches!(token.kind, Kind::Open | Kind::TextOpen | Kind::TextMiddle) {
            open.push(at);
        }
    }
    open.is_empty().then_some(partner)
}

#[derive(Default)]
struct Scope {
    /// Variables that can be changed.
    names: BTreeSet<String>,
    /// It is the body of a function: nothing outside is seen.
    closed: bool,
}

struct Weaver<'a> {
    tokens: Vec<Token<'a>>,
    partner: Vec<usize>,
    edits: Vec<Edit>,
    scopes: Vec<Scope>,
    /// The bodies of loops whose rounds are counted: their brackets and ids.
    whiles: Vec<(usize, usize, usize)>,
    /// The bodies of closures: a `return` in one ends nothing outside.
    closures: Vec<(usize, usize)>,
}

const ASSIGNS: [&str; 12] = ["=", "+=", "-=", "*=", "/=", "%=", "**=", "&=", "|=", "^=", "<<=", ">>="];

/// Words after which an expression begins, or that end one.
const WORDS: [&str; 16] = [
    "if", "else", "while", "until", "loop", "for", "in", "let", "const", "return", "throw", "break", "continue", "do",
    "try", "catch",
];

impl<'a> Weaver<'a> {
    fn token(&self, at: usize) -> Option<Token<'a>> {
        self.tokens.get(at).copied()
    }

    fn is(&self, at: usize, text: &str) -> bool {
        self.token(at).is_some_and(|token| token.is(text))
    }

    /// Puts something in after what stands before this place.
    fn put(&mut self, at: usize, put: impl Into<String>) {
        self.edits.push(Edit { at, order: Order::Ends, taken: 0, put: put.into() });
    }

    /// Weaves a call around the tokens from one to before the other.
    fn around(&mut self, from: usize, to: usize, call: &str) {
        let (at, end) = (self.tokens[from].at, self.tokens[to - 1].end());
        self.edits.push(Edit { at, order: begins(end - at), taken: 0, put: call.to_owned() });
        self.put(end, ")");
    }

    fn weave(&mut self) {
        let mut pending: Vec<(usize, Scope)> = Vec::new();
        for at in 0..self.tokens.len() {
            let token = self.tokens[at];
            match (token.kind, token.text) {
                (Kind::Open, "{") => {
                    let scope = match pending.iter().position(|(open, _)| *open == at) {
                        Some(found) => pending.swap_remove(found).1,
                        None => Scope::default(),
                    };
                    self.scopes.push(scope);
                }
                (Kind::Close, "}") if self.partner.get(at).is_some_and(|open| self.is(*open, "{")) => {
                    self.scopes.pop();
                }
                (Kind::Name, "let") => {
                    if let (Some(name), Some(scope)) = (self.tokens.get(at + 1), self.scopes.last_mut()) {
                        scope.names.insert(name.text.to_owned());
                    }
                }
                (Kind::Name, "fn") if self.is(at + 2, "(") => {
                    let close = self.partner[at + 2];
                    pending.push((close + 1, Scope { names: self.names(at + 3, close), closed: true }));
                }
                (Kind::Sign, "|") if self.begins_expression(at) => {
                    let end = (at + 1..self.tokens.len()).find(|other| self.is(*other, "|"));
                    if let Some(end) = end.filter(|end| self.is(end + 1, "{")) {
                        self.closures.push((end + 1, self.partner[end + 1]));
                        pending.push((end + 1, Scope { names: self.names(at + 1, end), closed: false }));
                    }
                }
                (Kind::Name, "if") => self.condition(at),
                (Kind::Name, "until") => self.condition_to_end(at),
                (Kind::Name, "while") if self.ends_do(at) => self.condition_to_end(at),
                (Kind::Name, "while" | "loop") => self.while_loop(at),
                (Kind::Name, "return") => self.leaving(at),
                (Kind::Name, "for") => {
                    if let Some((open, names)) = self.for_loop(at) {
                        pending.push((open, Scope { names, closed: false }));
                    }
                }
                (Kind::Name, "catch") => {
                    if let Some((open, names)) = self.catch(at) {
                        pending.push((open, Scope { names, closed: false }));
                    }
                }
                (Kind::Sign, "&&" | "||" | "??") => self.operator(at),
                (Kind::TextOpen | Kind::TextMiddle | Kind::TextClose, _) => self.text(at),
                // Rhai answers this one itself, whatever it is asked of.
                (Kind::Name, "type_of") if self.is(at + 1, "(") => {
                    self.edits.push(Edit { at: token.at, order: begins(0), taken: 7, put: "__type_of".to_owned() });
                }
                _ => {}
            }
        }
    }

    fn names(&self, from: usize, to: usize) -> BTreeSet<String> {
        let tokens = self.tokens.get(from..to).unwrap_or(&[]);
        tokens.iter().filter(|token| token.kind == Kind::Name).map(|token| token.text.to_owned()).collect()
    }

    /// Whether an expression, not an operator, stands here.
    fn begins_expression(&self, at: usize) -> bool {
        let Some(before) = at.checked_sub(1).and_then(|at| self.token(at)) else { return true };
        match before.kind {
            Kind::Open | Kind::TextOpen | Kind::TextMiddle => true,
            Kind::Sign => true,
            Kind::Name => WORDS.contains(&before.text),
            Kind::Close => before.text == "}" && self.partner.get(at - 1).is_some_and(|open| self.is(*open, "{")),
            Kind::Literal | Kind::TextClose => false,
        }
    }

    /// Whether a statement begins here, and no value of it is wanted by an operator or an assignment.
    fn begins_statement(&self, at: usize) -> bool {
        match at.checked_sub(1).and_then(|at| self.token(at)) {
            None => true,
            Some(before) => {
                before.is(";")
                    || before.is("{")
                    || (before.is("}") && self.partner.get(at - 1).is_some_and(|open| self.is(*open, "{")))
            }
        }
    }

    /// The `while` of `do { … } while …`.
    fn ends_do(&self, at: usize) -> bool {
        let Some(before) = at.checked_sub(1).filter(|before| self.is(*before, "}")) else { return false };
        self.partner.get(before).and_then(|open| open.checked_sub(1)).is_some_and(|word| self.is(word, "do"))
    }

    /// The `{` that ends a condition which begins here.
    fn block_after(&self, mut at: usize) -> Option<usize> {
        if self.is(at, "{") {
            return None;
        }
        while let Some(token) = self.token(at) {
            match token.kind {
                Kind::Open if token.text == "{" => return Some(at),
                Kind::Open | Kind::TextOpen | Kind::TextMiddle => at = self.partner[at],
                Kind::Close => return None,
                Kind::TextClose => at += 1,
                _ if token.is(";") => return None,
                Kind::Name if matches!(token.text, "if" | "loop" | "while" | "for" | "do") => return None,
                _ => at += 1,
            }
            if self.token(at).is_some_and(|token| token.kind == Kind::Close) {
                at += 1;
            }
        }
        None
    }

    fn condition(&mut self, word: usize) {
        if let Some(open) = self.block_after(word + 1) {
            self.around(word + 1, open, "__truth(");
        }
    }

    fn condition_to_end(&mut self, word: usize) {
        let end = self.expression_end(word + 1, &[]);
        if end > word + 1 {
            self.around(word + 1, end, "__truth(");
        }
    }

    /// The first token after an operand that begins here, if none of these stands earlier.
    fn expression_end(&self, mut at: usize, stops: &[&str]) -> usize {
        while let Some(token) = self.token(at) {
            match token.kind {
                Kind::Open if token.text == "{" => return at,
                Kind::Open | Kind::TextOpen => {
                    at = self.partner[at];
                    while self.token(at).is_some_and(|token| token.kind == Kind::TextMiddle) {
                        at = self.partner_forward(at);
                    }
                    at += 1;
                }
                Kind::Close | Kind::TextMiddle | Kind::TextClose => return at,
                _ if token.is(";") || token.is(",") || token.is("=>") || stops.iter().any(|stop| token.is(stop)) => {
                    return at;
                }
                _ => at += 1,
            }
        }
        at
    }

    /// The partner of a [`Kind::TextMiddle`] towards the end: the next piece of its text.
    fn partner_forward(&self, at: usize) -> usize {
        let mut depth = 0usize;
        for other in at + 1..self.tokens.len() {
            match self.tokens[other].kind {
                Kind::TextMiddle | Kind::TextClose if depth == 0 => return other,
                Kind::Open | Kind::TextOpen => depth += 1,
                Kind::Close | Kind::TextClose => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        self.tokens.len()
    }

    /// The first token of the operand that ends before this one.
    fn operand_begin(&self, operator: usize, stops: &[&str]) -> usize {
        let mut at = operator;
        while let Some(before) = at.checked_sub(1) {
            let token = self.tokens[before];
            match token.kind {
                Kind::Close | Kind::TextClose => {
                    let mut open = self.partner[before];
                    while self.tokens[open].kind == Kind::TextMiddle {
                        open = self.text_before(open);
                    }
                    if token.text == "}" && self.is(open, "{") {
                        return at;
                    }
                    at = open;
                }
                Kind::Open | Kind::TextOpen | Kind::TextMiddle => return at,
                Kind::Name if WORDS.contains(&token.text) && token.text != "in" => return at,
                Kind::Sign
                    if [";", ",", "=>", ":"].iter().any(|stop| token.is(stop))
                        || ASSIGNS.iter().any(|stop| token.is(stop))
                        || stops.iter().any(|stop| token.is(stop)) =>
                {
                    return at;
                }
                _ => at = before,
            }
        }
        at
    }

    /// The piece of a text before this one.
    fn text_before(&self, at: usize) -> usize {
        let mut depth = 0usize;
        for other in (0..at).rev() {
            match self.tokens[other].kind {
                Kind::TextMiddle | Kind::TextOpen if depth == 0 => return other,
                Kind::Close | Kind::TextClose => depth += 1,
                Kind::Open | Kind::TextOpen => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        0
    }

    /// The operands of `&&` and `||`, and those before a `??`.
    fn operator(&mut self, at: usize) {
        let coalesce = self.is(at, "??");
        if self.begins_expression(at) {
            // `||` as the beginning of a closure.
            return;
        }
        const LOOSER: &[&str] = &["&&", "||", "|", "^", "&"];
        const LOOSER_THAN_COALESCE: &[&str] =
            &["&&", "||", "|", "^", "&", "==", "!=", "<", "<=", ">", ">=", "in", "??", "!"];
        let stops = if coalesce { LOOSER_THAN_COALESCE } else { LOOSER };
        let function = if coalesce { "__there(" } else { "__truth(" };
        let begin = self.operand_begin(at, stops);
        let mixed = |weaver: &Self, at: Option<usize>| {
            at.and_then(|at| weaver.token(at)).is_some_and(|token| ["|", "^", "&"].iter().any(|sign| token.is(sign)))
                && !at.is_some_and(|at| weaver.closes_closure(at))
        };
        if begin < at && !mixed(self, begin.checked_sub(1)) {
            self.around(begin, at, function);
        }
        if coalesce {
            return;
        }
        // The last operand; those between two operators are met as the left one of the second.
        let end = self.expression_end(at + 1, stops);
        let again = self.is(end, "&&") || self.is(end, "||");
        let plain = end > at + 1 && !self.is(at + 1, "if") && !self.is(end, "{") || self.is_condition_block(end);
        if plain && !again && !mixed(self, Some(end)) && end > at + 1 {
            self.around(at + 1, end, "__truth(");
        }
    }

    /// Whether a `{` ends a condition, rather than being an expression's block.
    fn is_condition_block(&self, open: usize) -> bool {
        self.is(open, "{")
            && (0..open).rev().take(400).any(|word| {
                matches!(self.tokens[word].text, "if" | "while") && self.block_after(word + 1) == Some(open)
            })
    }

    /// Whether this `|` ends the parameters of a closure.
    fn closes_closure(&self, at: usize) -> bool {
        let begin = (0..at).rev().take_while(|before| {
            let token = self.tokens[*before];
            token.kind == Kind::Name || token.is(",") || token.is("|")
        });
        let opens = begin.into_iter().find(|before| self.is(*before, "|"));
        self.is(at, "|") && opens.is_some_and(|opens| self.begins_expression(opens))
    }

    /// A piece of a text with expressions inside.
    fn text(&mut self, at: usize) {
        let token = self.tokens[at];
        // The first line break after an opening back quote is no part of a text in Rhai.
        let newline = |rest: &str| if rest.starts_with('\n') || rest.starts_with("\r\n") { "\"\\n\"," } else { "" };
        let mut edit = |at: usize, order: Order, taken: usize, put: String| {
            self.edits.push(Edit { at, order, taken, put });
        };
        if token.kind == Kind::TextOpen {
            edit(token.at, begins(0), 0, "__text([".to_owned());
        } else {
            edit(token.at, Order::EndsPiece, 1, format!("),{}`", newline(token.text.get(1..).unwrap_or(""))));
        }
        if token.kind == Kind::TextClose {
            edit(token.end(), Order::EndsText, 0, "])".to_owned());
        } else {
            edit(token.end() - 2, Order::EndsPiece, 2, "`,(".to_owned());
        }
    }

    /// Variables from outside that the body of a loop may change.
    fn changed(&self, open: usize, close: usize) -> Vec<String> {
        let mut seen = BTreeSet::new();
        for scope in self.scopes.iter().rev() {
            seen.extend(scope.names.iter().cloned());
            if scope.closed {
                break;
            }
        }
        let mut changed = BTreeSet::new();
        for at in open + 1..close {
            let token = self.tokens[at];
            let inside =
                at.checked_sub(1).is_some_and(|before| ["?.", "::", "."].iter().any(|sign| self.is(before, sign)));
            if token.kind == Kind::Name && !inside && seen.contains(token.text) && self.is_changed(at, close) {
                changed.insert(token.text.to_owned());
            }
        }
        changed.into_iter().collect()
    }

    fn is_changed(&self, name: usize, close: usize) -> bool {
        let mut at = name + 1;
        while at < close {
            if self.is(at, ".") || self.is(at, "?.") {
                if !self.is(at + 2, "(") {
                    at += 2;
                    continue;
                }
                if self.token(at + 1).is_none_or(|method| !PURE.contains(&method.text)) {
                    return true;
                }
                at = self.partner[at + 2] + 1;
            } else if self.is(at, "[") || self.is(at, "?[") {
                at = self.partner[at] + 1;
            } else {
                return ASSIGNS.iter().any(|sign| self.is(at, sign));
            }
        }
        false
    }

    /// Whether the loop's own body gives the loop a value.
    fn breaks_with_value(&self, open: usize, close: usize) -> bool {
        (open..close).any(|at| self.is(at, "break") && !self.is(at + 1, ";") && !self.is(at + 1, "}"))
    }

    fn blurs(id: usize, names: &[String]) -> String {
        if names.is_empty() {
            return String::new();
        }
        let each: String = names.iter().map(|name| format!("{name}=__blur({id},\"{name}\",{name});")).collect();
        format!(" if __blurs({id}){{{each}}}")
    }

    fn while_loop(&mut self, word: usize) {
        let id = self.tokens[word].at;
        let open = if self.is(word, "loop") { Some(word + 1) } else { self.block_after(word + 1) };
        let Some(open) = open.filter(|open| self.is(*open, "{")) else { return };
        let close = self.partner[open];
        let whole = self.begins_statement(word) && !self.breaks_with_value(open, close);
        if !whole {
            // Its value is wanted: it is followed round by round.
            if self.is(word, "while") {
                self.condition(word);
            }
            return;
        }
        self.whiles.push((open, close, id));
        let names = self.changed(open, close);
        let begin = format!("__loop({id}); ");
        self.edits.push(Edit { at: id, order: begins(usize::MAX), taken: 0, put: begin });
        let blurs = Self::blurs(id, &names);
        if self.is(word, "loop") {
            self.put(self.tokens[open].end(), format!(" __round({id},true);{blurs}"));
        } else {
            self.around(word + 1, open, &format!("__round({id},"));
            self.put(self.tokens[open].end(), blurs);
        }
        self.put(self.tokens[close].end(), format!(" __done({id});"));
    }

    /// A `return` ends all loops around it.
    fn leaving(&mut self, word: usize) {
        let within = |(open, close): (usize, usize)| open < word && word < close;
        let closure = self.closures.iter().copied().filter(|body| within(*body)).map(|(open, _)| open).max();
        let loops = self.whiles.iter().filter(|(open, close, _)| within((*open, *close)));
        let outermost = loops.filter(|(open, _, _)| closure.is_none_or(|closure| *open > closure)).min();
        if let (Some((_, _, id)), true) = (outermost, self.begins_statement(word)) {
            let put = format!("__done({id}); ");
            self.edits.push(Edit { at: self.tokens[word].at, order: begins(usize::MAX), taken: 0, put });
        }
    }

    fn for_loop(&mut self, word: usize) -> Option<(usize, BTreeSet<String>)> {
        let id = self.tokens[word].at;
        let within = (word + 1..self.tokens.len().min(word + 8)).find(|at| self.is(*at, "in"))?;
        let open = self.block_after(within + 1)?;
        let close = self.partner[open];
        let own = self.names(word + 1, within);
        if !self.begins_statement(word) || self.breaks_with_value(open, close) {
            return Some((open, own));
        }
        let names = self.changed(open, close);
        self.around(within + 1, open, &format!("__each({id},"));
        let mut inside = names.clone();
        if self.is(word + 1, "(") && self.is(word + 3, ",") {
            inside.extend(self.token(word + 4).map(|counter| counter.text.to_owned()));
        }
        self.put(self.tokens[open].end(), Self::blurs(id, &inside));
        let after = if names.is_empty() {
            format!(" __done({id});")
        } else {
            let each: String = names.iter().map(|name| format!("{name}=__blur({id},\"{name}\",{name});")).collect();
            format!(" if __ended({id}){{{each}}} __done({id});")
        };
        self.put(self.tokens[close].end(), after);
        Some((open, own))
    }

    /// An error that comes from an unknown is not to be caught.
    fn catch(&mut self, word: usize) -> Option<(usize, BTreeSet<String>)> {
        if self.is(word + 1, "{") {
            let open = self.tokens[word + 1];
            self.edits.push(Edit { at: open.at, order: begins(0), taken: 0, put: "(__fault) ".to_owned() });
            self.put(open.end(), " __caught(__fault);");
            return Some((word + 1, BTreeSet::new()));
        }
        if self.is(word + 1, "(") && self.is(word + 3, ")") && self.is(word + 4, "{") {
            let name = self.tokens[word + 2].text;
            self.put(self.tokens[word + 4].end(), format!(" __caught({name});"));
            return Some((word + 4, [name.to_owned()].into()));
        }
        None
    }
}
