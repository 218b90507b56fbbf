//! Who may look.
//!
//! On this machine's own address anybody on it may; there the host that is asked for has to be this machine's, so that
//! no page of the web can have its own name point here and read along. On any other address a random token is needed.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, Uri, header};

/// Name of the cookie that keeps the token.
const COOKIE: &str = "mollifier_token";

/// What a request has to show.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    port: u16,
    token: Option<String>,
}

/// What a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Let in.
    Welcome,
    /// Let in, and its browser is to keep the token.
    WithToken,
    /// A stranger.
    Refused,
}

impl Guard {
    /// For a server at `address`.
    pub(super) fn new(address: SocketAddr) -> Result<Self, getrandom::Error> {
        let token = if address.ip().is_loopback() {
            None
        } else {
            let mut bytes = [0; 16];
            getrandom::fill(&mut bytes)?;
            Some(bytes.iter().map(|b| format!("{b:02x}")).collect())
        };
        Ok(Self { port: address.port(), token })
    }

    /// What a link to the page ends in.
    pub(super) fn query(&self) -> String {
        self.token.as_ref().map_or_else(String::new, |token| format!("?token={token}"))
    }

    /// The header that makes a browser keep the token.
    pub(super) fn cookie(&self) -> Option<String> {
        self.token.as_ref().map(|token| format!("{COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/"))
    }

    /// Whether to let a request in.
    pub(super) fn judge(&self, uri: &Uri, headers: &HeaderMap) -> Verdict {
        let text = |name| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let Some(token) = &self.token else {
            return if is_own(text(header::HOST), self.port) { Verdict::Welcome } else { Verdict::Refused };
        };
        let pairs = uri.query().unwrap_or_default().split('&').filter_map(|p| p.split_once('='));
        if pairs.into_iter().any(|(name, value)| name == "token" && equal(value, token)) {
            return Verdict::WithToken;
        }
        let mut cookies = text(header::COOKIE).split(';').filter_map(|c| c.trim().split_once('='));
        let bearer = text(header::AUTHORIZATION).strip_prefix("Bearer ").unwrap_or_default();
        if equal(bearer, token) || cookies.any(|(name, value)| name == COOKIE && equal(value, token)) {
            return Verdict::Welcome;
        }
        Verdict::Refused
    }
}

/// Whether a host name is this machine's own.
fn is_own(host: &str, port: u16) -> bool {
    let name = host.strip_suffix(&format!(":{port}")).unwrap_or(host);
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|a| a.is_loopback())
}

/// Takes as long for a token that is nearly right as for any other.
fn equal(given: &str, token: &str) -> bool {
    let differ = given.bytes().zip(token.bytes()).fold(0, |d, (a, b)| d | (a ^ b));
    given.len() == token.len() && differ == 0
}
