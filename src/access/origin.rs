//! From which addresses the server may be spoken to as itself: against DNS rebinding, and against forms of other sites.

use std::net::IpAddr;

/// The names under which the server is reached.
///
/// Another site can make a browser send requests here, and a name of its own can be pointed here; but the browser then says so, in
/// `Host` and in `Origin`. Addresses given as numbers cannot be pointed elsewhere, so these count always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sites {
    names: Vec<String>,
}

impl Sites {
    /// Names besides `localhost`: with the port where it is not the usual one, as browsers show them, or without for any port.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self {
            names: names.into_iter().map(|name| name.trim().to_lowercase()).filter(|name| !name.is_empty()).collect(),
        }
    }

    /// Whether a request to this `Host` is meant for this server.
    #[must_use]
    pub fn is_ours(&self, host: &str) -> bool {
        let whole = host.to_lowercase();
        let Some(name) = name_of(&whole) else { return false };
        is_number(name) || name == "localhost" || self.names.iter().any(|known| *known == whole || *known == name)
    }

    /// Whether a form was sent by a page of this server: its `Origin` is the `Host` that it goes to. A browser that says no `Origin`
    /// has to say `Sec-Fetch-Site: same-origin` instead.
    #[must_use]
    pub fn is_own_page(&self, host: &str, origin: Option<&str>, fetch_site: Option<&str>) -> bool {
        if !self.is_ours(host) || fetch_site.is_some_and(|site| site != "same-origin") {
            return false;
        }
        let Some(origin) = origin else { return fetch_site == Some("same-origin") };
        let bare = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        bare.is_some_and(|bare| bare.eq_ignore_ascii_case(host))
    }
}

/// The name in `name:port`, if that is what it is.
fn name_of(host: &str) -> Option<&str> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (name, port) = rest.split_once(']')?;
            (name, port.strip_prefix(':').or_else(|| port.is_empty().then_some("0")))
        }
        None => host.split_once(':').map_or((host, Some("0")), |(name, port)| (name, Some(port))),
    };
    (!name.is_empty() && port.is_some_and(|port| port.parse::<u16>().is_ok())).then_some(name)
}

fn is_number(name: &str) -> bool {
    name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sites() -> Sites {
        Sites::new(["muster.example.com".to_owned(), "dr.example.com:8443".to_owned()])
    }

    #[test]
    fn only_its_own_names_reach_it() {
        for host in [
            "127.0.0.1:8099",
            "localhost:8099",
            "LocalHost",
            "[::1]:8099",
            "10.0.0.7",
            "muster.example.com",
            "muster.example.com:444",
            "dr.example.com:8443",
        ] {
            assert!(sites().is_ours(host), "{host}");
        }
        for host in [
            "",
            "evil.example.com",
            "muster.example.com.evil.org",
            "dr.example.com",
            "dr.example.com:1",
            "127.0.0.1.evil.org",
            "localhost:x",
            "localhost:1:2",
            "[::1",
            "[]:1",
            "127.0.0.1@evil.org",
            "localhost/",
        ] {
            assert!(!sites().is_ours(host), "{host}");
        }
    }

    #[test]
    fn only_its_own_pages_send_forms() {
        let own = |host, origin, site| sites().is_own_page(host, origin, site);
        assert!(own("localhost:8099", Some("http://localhost:8099"), None));
        assert!(own("muster.example.com", Some("https://muster.example.com"), Some("same-origin")));
        assert!(own("localhost:8099", None, Some("same-origin")));
        assert!(!own("localhost:8099", None, None), "nothing says where it comes from");
        assert!(!own("localhost:8099", Some("null"), None));
        assert!(!own("localhost:8099", Some("http://evil.example.com"), None));
        assert!(!own("localhost:8099", Some("http://localhost:9000"), None), "another port is another site");
        assert!(!own("localhost:8099", Some("http://localhost:8099"), Some("cross-site")));
        assert!(!own("evil.example.com", Some("http://evil.example.com"), Some("same-origin")), "DNS rebinding");
    }

    proptest! {
        #[test]
        fn any_header_is_read_without_a_fault(host in ".{0,30}", origin in ".{0,30}") {
            let _ = sites().is_own_page(&host, Some(&origin), None);
            let lured = format!("{host}.evil.org");
            prop_assert!(!sites().is_ours(&lured), "{}", lured);
        }
    }
}
