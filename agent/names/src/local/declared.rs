//! The name that a process declares in OpenTelemetry's environment variables.

use super::text::clean_bytes;

/// The names that a process declares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Declared {
    /// `service.name`.
    pub(crate) name: Option<String>,
    /// `service.namespace`.
    pub(crate) namespace: Option<String>,
    /// `OTEL_RESOURCE_ATTRIBUTES` violates the specification, and was ignored.
    pub(crate) malformed: bool,
}

impl Declared {
    /// From the strings of `/proc/PID/environ`, each terminated by NUL. `OTEL_SERVICE_NAME` has precedence over the attribute;
    /// an empty variable counts as unset, as specified. Of a variable set twice the first counts, as for libc.
    pub(crate) fn by_environment(environ: &[u8]) -> Self {
        let mut name = None;
        let mut attributes = None;
        for variable in environ.split(|byte| *byte == 0) {
            if let Some(value) = variable.strip_prefix(b"OTEL_SERVICE_NAME=") {
                name = name.or(Some(value));
            } else if let Some(value) = variable.strip_prefix(b"OTEL_RESOURCE_ATTRIBUTES=") {
                attributes = attributes.or(Some(value));
            }
        }
        let mut declared = Self::default();
        if let Some(attributes) = attributes {
            match of_attributes(attributes) {
                Some(found) => declared = found,
                None => declared.malformed = true,
            }
        }
        let own = name.map(|name| clean_bytes(name).trim().to_owned()).filter(|name| !name.is_empty());
        declared.name = own.or(declared.name);
        declared
    }
}

/// `key=value,key=value`, both percent-encoded. One error discards all of it, as specified.
fn of_attributes(attributes: &[u8]) -> Option<Declared> {
    let mut declared = Declared::default();
    for pair in attributes.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty()) {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let key = decoded(pair[..equals].trim_ascii())?;
        let value = decoded(pair[equals + 1..].trim_ascii())?;
        let into = match key.as_str() {
            "service.name" => &mut declared.name,
            "service.namespace" => &mut declared.namespace,
            _ => continue,
        };
        *into = Some(clean_bytes(value.as_bytes())).filter(|value| !value.is_empty());
    }
    Some(declared)
}

/// Decodes percent-encoded text.
fn decoded(encoded: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((byte, after)) = rest.split_first() {
        if *byte == b'%' {
            let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
            bytes.push((digit(0)? * 16 + digit(1)?) as u8);
            rest = &after[2..];
        } else {
            bytes.push(*byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn named(environ: &str) -> (Option<String>, Option<String>, bool) {
        let declared = Declared::by_environment(environ.as_bytes());
        (declared.name, declared.namespace, declared.malformed)
    }

    #[test]
    fn attributes_as_specified() {
        let some = |text: &str| Some(text.to_owned());
        for (environ, expected) in [
            ("PATH=/bin\0OTEL_SERVICE_NAME=checkout\0", (some("checkout"), None, false)),
            ("OTEL_RESOURCE_ATTRIBUTES=service.name=cart,service.namespace=shop", (some("cart"), some("shop"), false)),
            (
                "OTEL_RESOURCE_ATTRIBUTES=service.name=cart,service.namespace=shop\0OTEL_SERVICE_NAME=checkout",
                (some("checkout"), some("shop"), false),
            ),
            (
                "OTEL_SERVICE_NAME=\0OTEL_RESOURCE_ATTRIBUTES= service.name = a%2Cb%3Dc%C3%A9 , x=1,",
                (some("a,b=cé"), None, false),
            ),
            ("OTEL_RESOURCE_ATTRIBUTES=service.name=a=b", (some("a=b"), None, false)),
            // One error discards all of it.
            ("OTEL_RESOURCE_ATTRIBUTES=service.name=cart,x=%zz", (None, None, true)),
            ("OTEL_RESOURCE_ATTRIBUTES=service.name=cart,x=%4", (None, None, true)),
            ("OTEL_RESOURCE_ATTRIBUTES=service.name=cart,broken", (None, None, true)),
            ("OTEL_RESOURCE_ATTRIBUTES=service.name=%ff", (None, None, true)),
            ("OTEL_RESOURCE_ATTRIBUTES=broken\0OTEL_SERVICE_NAME=checkout", (some("checkout"), None, true)),
            ("OTEL_RESOURCE_ATTRIBUTES=service.name=a%0Ab", (some("a\u{fffd}b"), None, false)),
            ("OTEL_SERVICE_NAME=a\0OTEL_SERVICE_NAME=b", (some("a"), None, false)),
            ("XOTEL_SERVICE_NAME=a\0", (None, None, false)),
        ] {
            assert_eq!(named(environ), expected, "{environ:?}");
        }
    }

    proptest! {
        #[test]
        fn hostile_attributes_are_bounded(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let environ = [b"OTEL_RESOURCE_ATTRIBUTES=service.name=", bytes.as_slice()].concat();
            let name = Declared::by_environment(&environ).name.unwrap_or_default();
            prop_assert!(name.len() <= 600 && !name.contains('\n'));
        }
    }
}
