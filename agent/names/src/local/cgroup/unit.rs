//! systemd's units, as parts of cgroup paths.

use std::borrow::Cow;

/// A service or scope of systemd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unit<'a> {
    /// With its suffix, `nginx.service`.
    pub(crate) name: &'a str,
    /// Whether a user's own manager runs it.
    pub(crate) of_user: bool,
}

impl<'a> Unit<'a> {
    /// The unit that a part of `path` names: slices, sockets and mounts do not run programs.
    pub(super) fn of_part(part: &'a str, path: &str) -> Option<Self> {
        // systemd escapes a name that a controller's file could have with an underscore.
        let name = part.strip_prefix('_').unwrap_or(part);
        let stem = name.strip_suffix(".service").or_else(|| name.strip_suffix(".scope"))?;
        let is_unit =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'-' | b'_' | b'.' | b'\\' | b'@');
        // systemd's limit of a unit's name.
        let valid = !stem.is_empty() && name.len() <= 255 && stem.bytes().all(is_unit);
        valid.then(|| Self { name, of_user: path.contains("/user.slice/") })
    }

    /// Whether its name identifies a service. That of a login session or of a single command does not: such a scope holds
    /// whatever the user starts, and its name is a number that changes. There the program gives the better name.
    pub(crate) fn is_service(&self) -> bool {
        let Some((stem, suffix)) = self.name.rsplit_once('.') else { return false };
        let stem = stem.as_bytes();
        let manager = stem == b"init" || stem.starts_with(b"user@") || stem.starts_with(b"user-runtime-dir@");
        let login = suffix == "scope" && stem.starts_with(b"session-");
        // `systemd-run` without a name: `run-u12`, `run-r<digest>`, `run-p12-i34`, before all `run-12`.
        let one_command = stem.strip_prefix(b"run-").is_some_and(|rest| {
            let rest = rest.strip_prefix(b"u").or_else(|| rest.strip_prefix(b"r")).or_else(|| rest.strip_prefix(b"p"));
            let digits = rest.unwrap_or(&stem[4..]);
            !digits.is_empty() && digits.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'-' | b'i'))
        });
        // Terminals put each window into `vte-spawn-<uuid>.scope`.
        let terminal = suffix == "scope" && stem.windows(7).any(|at| at == b"-spawn-");
        !(manager || login || one_command || terminal)
    }

    /// The name of the service: without the suffix, without the addresses of the one connection that an instance serves, and
    /// without the random part of a desktop application.
    pub(crate) fn service_name(&self) -> Cow<'a, str> {
        let (stem, suffix) = self.name.rsplit_once('.').unwrap_or((self.name, ""));
        if let Some((template, instance)) = stem.split_once('@')
            && (serves_one_connection(instance) || (stem.starts_with("app-") && is_random(instance)))
        {
            return unescaped(template);
        }
        if suffix == "scope"
            && stem.starts_with("app-")
            && let Some((application, random)) = stem.rsplit_once('-')
            && application.contains('-')
            && is_random(random)
        {
            return unescaped(application);
        }
        unescaped(stem)
    }
}

/// The instance of a socket that starts a process per connection: `12-10.0.0.1:22-10.0.0.7:53122`.
fn serves_one_connection(instance: &str) -> bool {
    let number = instance.split('-').next().unwrap_or_default();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number(number) && instance.len() > number.len() && (instance.contains(':') || instance.matches('-').count() == 2)
}

/// Numbers and digests, never a word.
fn is_random(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `\x2d` is an escaped dash. Other escapes stay, since the bytes may not be text.
fn unescaped(name: &str) -> Cow<'_, str> {
    if name.contains("\\x2d") { name.replace("\\x2d", "-").into() } else { name.into() }
}
