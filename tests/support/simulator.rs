//! A small part of this test suite that stands for IAM's simulation of policies, which no server from PyPI does as AWS does: who may
//! do what, tests say.

/// As whom moto answers those without a role. They may do everything, as long as no test says otherwise.
pub const ANYBODY: &str = "arn:aws:sts::123456789012:user/moto";

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// What IAM answers since it gives one result an action: the decision for all resources, and that for each.
pub fn simulated(allowed: &[[String; 3]], form: &str) -> Vec<u8> {
    let fields: Vec<(&str, String)> =
        form.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (name, decoded(value))).collect();
    let listed = |prefix: &str| -> Vec<&str> {
        fields.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, value)| value.as_str()).collect()
    };
    let principal = listed("PolicySourceArn").first().copied().unwrap_or_default();
    let known: Vec<_> = allowed.iter().filter(|[who, ..]| who == principal).collect();
    let xml = |status: &str, body: String| {
        let head = format!("HTTP/1.1 {status}\r\nContent-Type: text/xml\r\nConnection: close\r\n");
        format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    };
    if known.is_empty() {
        let what = format!("<Code>NoSuchEntity</Code><Message>{principal} cannot be found.</Message>");
        return xml("404 Not Found", format!("<ErrorResponse><Error>{what}</Error></ErrorResponse>"));
    }
    let decided = |fits: bool| if fits { "allowed" } else { "implicitDeny" };
    let fits = |action: &str, on: &str| {
        known.iter().any(|[_, may, to]| action.starts_with(may.as_str()) && on.starts_with(to.as_str()))
    };
    let resources = listed("ResourceArns.member");
    let results = listed("ActionNames.member").into_iter().map(|action| {
        let each: String = resources
            .iter()
            .map(|on| {
                let decision = decided(fits(action, on));
                format!(
                    "<member><EvalResourceName>{on}</EvalResourceName><EvalResourceDecision>{decision}\
                     </EvalResourceDecision></member>"
                )
            })
            .collect();
        let whole =
            decided(if resources.is_empty() { fits(action, "*") } else { resources.iter().all(|on| fits(action, on)) });
        format!(
            "<member><EvalActionName>{action}</EvalActionName><EvalDecision>{whole}</EvalDecision>\
             <ResourceSpecificResults>{each}</ResourceSpecificResults></member>"
        )
    });
    // A page for each action, so that a reader of the first alone goes wrong.
    let results: Vec<String> = results.collect();
    let page: usize = listed("Marker").first().and_then(|page| page.parse().ok()).unwrap_or_default();
    let more = page + 1 < results.len();
    let marker = if more { format!("<Marker>{}</Marker>", page + 1) } else { String::new() };
    let shown = results.get(page).map_or("", String::as_str);
    xml(
        "200 OK",
        format!(
            "<SimulatePrincipalPolicyResponse><SimulatePrincipalPolicyResult><EvaluationResults>{shown}</EvaluationResults>\
             <IsTruncated>{more}</IsTruncated>{marker}</SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"
        ),
    )
}
