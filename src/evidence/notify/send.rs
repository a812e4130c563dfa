//! An event sent to a webhook: signed, to the address in the file and nowhere else.

use std::net::IpAddr;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;
use ureq::config::Config as HttpConfig;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error};

use super::config::{Format, Hook, resolved};
use super::event::Event;
use crate::model::Timestamp;
use crate::playbook::bundle::hex;

/// Sends events. Real ones go over HTTP; tests may count.
pub trait Sender: Send + Sync {
    /// Sends an event; once this returns `Ok`, the receiver has said that it has it.
    ///
    /// # Errors
    /// Why it is not known that the receiver has it.
    fn send(&self, hook: &Hook, event: &Event, now: Timestamp) -> Result<(), String>;
}

/// Sends over HTTP.
pub struct Http;

/// The URL in a text.
///
/// # Errors
/// When it is none that can be sent to.
pub fn target(url: &str) -> Result<Uri, String> {
    let uri: Uri = url.parse().map_err(|_| "its url is none".to_owned())?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => {}
        _ => return Err("its url is not of the form https://host/path".to_owned()),
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("its url has a user in it".to_owned());
    }
    Ok(uri)
}

/// Whether an address is of this machine or of its link, where services are that trust whoever reaches them.
#[must_use]
pub fn is_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            ip.is_loopback()
                || ip.is_link_local()
                || ip.is_unspecified()
                || ip.is_broadcast()
                || ip.is_multicast()
                || ip.octets()[0] == 0
        }
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(inner) => is_local(IpAddr::V4(inner)),
            None => ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || ip.is_unicast_link_local(),
        },
    }
}

/// Finds the addresses of a host, without those that are local: what was looked at is what is connected to.
#[derive(Debug)]
struct Outside {
    inner: DefaultResolver,
    allow_local: bool,
}

impl Resolver for Outside {
    fn resolve(&self, uri: &Uri, config: &HttpConfig, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        let mut allowed = self.empty();
        for address in found.iter().filter(|address| self.allow_local || !is_local(address.ip())) {
            allowed.push(*address);
        }
        if allowed.is_empty() {
            let what = "its host is this machine or on its link, which takes `allow_local: true`";
            return Err(Error::Io(std::io::Error::new(std::io::ErrorKind::PermissionDenied, what)));
        }
        Ok(allowed)
    }
}

/// The body that a hook is sent.
#[must_use]
pub fn body(hook: &Hook, event: &Event) -> String {
    match hook.format {
        Format::Generic => json!({ "muster": 1, "event": event }).to_string(),
        Format::Slack => {
            // Only these three mean anything to Slack; so `<!channel>` and links are text.
            let text = event.text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            json!({ "text": text }).to_string()
        }
    }
}

/// `t=SECONDS,v1=HEX`: HMAC-SHA-256 over `SECONDS.BODY`, so that an old message cannot be sent again as a new one.
#[must_use]
pub fn signature(secret: &str, now: Timestamp, body: &str) -> String {
    let at = now.as_second();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length makes an HMAC");
    mac.update(format!("{at}.{body}").as_bytes());
    format!("t={at},v1={}", hex(&mac.finalize().into_bytes()))
}

impl Sender for Http {
    fn send(&self, hook: &Hook, event: &Event, now: Timestamp) -> Result<(), String> {
        let uri = target(&resolved(&hook.url)?)?;
        let body = body(hook, event);
        let config = Agent::config_builder()
            .timeout_global(Some(hook.patience()?))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .proxy(None)
            .build();
        let resolver = Outside { inner: DefaultResolver::default(), allow_local: hook.allow_local };
        let agent = Agent::with_parts(config, DefaultConnector::default(), resolver);
        let mut request = agent
            .post(uri)
            .header("content-type", "application/json")
            .header("user-agent", concat!("muster/", env!("CARGO_PKG_VERSION")))
            .header("muster-event-id", &event.id);
        if let Some(secret) = &hook.secret {
            request = request.header("muster-signature", signature(&resolved(secret)?, now, &body));
        }
        // A URL may be a secret: no error repeats it.
        let response = request.send(body.as_bytes()).map_err(|error| match error {
            Error::Io(error) => format!("cannot reach it: {error}"),
            Error::Timeout(_) => "it did not answer in time".to_owned(),
            Error::HostNotFound => "its host is not found".to_owned(),
            Error::ConnectionFailed => "it cannot be connected to".to_owned(),
            _ => "the request failed".to_owned(),
        })?;
        let status = response.status();
        if status.is_success() { Ok(()) } else { Err(format!("it answered {}", status.as_u16())) }
    }
}
