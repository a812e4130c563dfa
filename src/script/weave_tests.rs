//! What is woven into scripts, seen in their text.

use super::weave::weave;

#[test]
fn conditions_operands_and_texts_are_asked_about() {
    assert_eq!(
        weave("if a && !b.c || d == 1 { e }").text,
        "if __truth(__truth(a) && __truth(!b.c) || __truth(d == 1)) { e }"
    );
    assert_eq!(
        weave("let x = a || b; f(|y| y && z)").text,
        "let x = __truth(a) || __truth(b); f(|y| __truth(y) && __truth(z))"
    );
    assert_eq!(weave("f(|| a)").text, "f(|| a)");
    assert_eq!(weave("a.b ?? 1 + 2").text, "__there(a.b) ?? 1 + 2");
    assert_eq!(weave("`a ${b} c`").text, "__text([`a `,(b),` c`])");
    assert_eq!(weave("`${a}\n${`x${b}`}`").text, "__text([``,(a),\"\\n\",`\n`,(__text([`x`,(b),``])),``])");
    assert_eq!(weave("try { f() } catch { 1 }").text, "try { f() } catch (__fault) { __caught(__fault); 1 }");
}

#[test]
fn a_loop_names_what_it_changes() {
    let woven = weave("let n = 0; let l = []; let k = 1; for x in u { n += k; l.push(x); let m = 1; m += 1; }");
    assert!(
        woven.text.contains("for x in __each(34,u) { if __blurs(34){l=__blur(34,\"l\",l);n=__blur(34,\"n\",n);}"),
        "{}",
        woven.text
    );
    assert!(
        woven.text.ends_with("} if __ended(34){l=__blur(34,\"l\",l);n=__blur(34,\"n\",n);} __done(34);"),
        "{}",
        woven.text
    );
    let woven = weave("while u.pending { u = f(); }");
    assert_eq!(woven.text, "__loop(0); while __round(0,u.pending) { u = f(); } __done(0);");
}

#[test]
fn columns_are_found_again() {
    let text = "if a && b { oops }";
    let woven = weave(text);
    let column = woven.text.find("oops").expect("it is there") + 1;
    assert_eq!(woven.column(1, column), text.find("oops").expect("it is there") + 1);
    assert_eq!(woven.column(1, 4), 4);
    let text = "`x${y}` + oops";
    let woven = weave(text);
    let column = woven.text.find("oops").expect("it is there") + 1;
    assert_eq!(woven.column(1, column), text.find("oops").expect("it is there") + 1);
}
