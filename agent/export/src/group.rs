//! Services as their owners cut them: rules that put ends of edges together under a name.

use std::{str::FromStr, sync::Arc};

use weir_engine::{Edge, End, Identity, Kind, Snapshot};
use wildmatch::WildMatch;

use super::network::Network;

/// `NAME=FIELD:PATTERN[,FIELD:PATTERN]…`: what matches all of it is of the service NAME.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    name: Arc<str>,
    /// As it was written.
    text: String,
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq)]
enum Condition {
    /// A field of the document's ends.
    Text(Field, WildMatch),
    Address(Network),
}

/// The fields of an end that a rule may match. A pod is not one: of pods that have ended only the service is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Kind,
    Name,
    Namespace,
    Workload,
    Container,
    Image,
    Unit,
    DnsName,
}

const FIELDS: [(&str, Field); 8] = [
    ("kind", Field::Kind),
    ("name", Field::Name),
    ("namespace", Field::Namespace),
    ("workload", Field::Workload),
    ("container", Field::Container),
    ("image", Field::Image),
    ("unit", Field::Unit),
    ("dns_name", Field::DnsName),
];

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let example = "write it as in payments=container:pay-*,namespace:shop";
        let (name, conditions) = text.split_once('=').ok_or(format!("{text:?} names no service: {example}"))?;
        let name = name.trim();
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(format!("{text:?} gives the service no name: {example}"));
        }
        let conditions = conditions.split(',').map(|one| one.trim().parse()).collect::<Result<_, _>>()?;
        Ok(Self { name: name.into(), text: text.to_owned(), conditions })
    }
}

/// The rules of a file.
#[derive(Clone, Debug, Default)]
pub struct Rules(pub Vec<Rule>);

impl Rules {
    /// Reads a rule from each line.
    pub fn read(path: &str) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?;
        Self::parse(&text).map_err(|error| format!("{path}, {error}"))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(str::trim).enumerate();
        let rules = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let rule = |(at, line): (usize, &str)| line.parse().map_err(|error| format!("line {}: {error}", at + 1));
        rules.map(rule).collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || FIELDS.map(|(name, _)| name).join(", ");
        let (field, pattern) = text
            .split_once(':')
            .ok_or_else(|| format!("{text:?} is no FIELD:PATTERN: the fields are {}, address", known()))?;
        if pattern.is_empty() {
            return Err(format!("{text:?} has no pattern: write {field}:* for any"));
        }
        if field == "address" {
            return pattern.parse().map(Self::Address);
        }
        let found = FIELDS.iter().find(|(name, _)| *name == field).map(|(_, field)| *field);
        let found = found.ok_or_else(|| format!("no field {field:?} to group by: use {}, address", known()))?;
        if found == Field::Kind && Kind::named(pattern).is_none() && !pattern.contains(['*', '?']) {
            return Err(format!(
                "no kind {pattern:?}: use one of {}",
                Kind::ALL.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
            ));
        }
        Ok(Self::Text(found, WildMatch::new(pattern)))
    }
}

impl Condition {
    fn holds(&self, end: &End) -> bool {
        match self {
            Self::Text(field, pattern) => field.of(&end.identity).is_some_and(|text| pattern.matches(text)),
            Self::Address(network) => end.address.is_some_and(|address| network.contains(address)),
        }
    }
}

impl Field {
    fn of(self, identity: &Identity) -> Option<&str> {
        match self {
            Self::Kind => Some(identity.kind.name()),
            Self::Name => Some(&identity.name),
            Self::Namespace => identity.namespace.as_deref(),
            Self::Workload => identity.workload.as_deref(),
            Self::Container => identity.container.as_deref(),
            Self::Image => identity.image.as_deref(),
            Self::Unit => identity.unit.as_deref(),
            Self::DnsName => identity.dns_name.as_deref(),
        }
    }
}

/// A rule, with the number of ends that it named in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grouped {
    pub(super) name: Arc<str>,
    pub(super) rule: String,
    /// Ends of edges between processes and addresses.
    pub(super) ends: u64,
}

/// Gives ends the names that the rules have for them. The first rule that matches an end has it.
pub(super) fn group(snapshot: &mut Snapshot, rules: &[Rule]) -> Vec<Grouped> {
    let grouped = |rule: &Rule| Grouped { name: Arc::clone(&rule.name), rule: rule.text.clone(), ends: 0 };
    let mut groups: Vec<Grouped> = rules.iter().map(grouped).collect();
    if rules.is_empty() {
        return groups;
    }
    for Edge { client, server, is_other, .. } in &mut snapshot.edges {
        for end in [client, server] {
            // What is beyond a limit is of no one service.
            let found = rules.iter().position(|rule| !*is_other && rule.conditions.iter().all(|one| one.holds(end)));
            let Some(found) = found else { continue };
            groups[found].ends += 1;
            let name = Arc::clone(&rules[found].name);
            end.identity = Arc::new(Identity { kind: Kind::Group, namespace: None, name, ..(*end.identity).clone() });
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use weir_engine::Absent;

    fn end(identity: Identity, address: Option<&str>) -> End {
        let address = address.map(|a| a.parse().expect("address"));
        End { address, ..End::elsewhere(Arc::new(identity), Absent::NotOnThisHost) }
    }

    fn holds(rule: &str, end: &End) -> bool {
        rule.parse::<Rule>().expect("a rule").conditions.iter().all(|one| one.holds(end))
    }

    #[test]
    fn by_fields_with_wildcards() {
        let mut identity = Identity::new(Kind::Container, "pay-api-7");
        identity.image = Some("registry/pay/api:1.4".into());
        let end = end(identity, Some("10.1.2.3"));
        for yes in
            ["x=name:pay-*", "x=name:pay-api-?,image:*/pay/*", "x=kind:container", "x=address:10.0.0.0/8", "x=name:*"]
        {
            assert!(holds(yes, &end), "{yes}");
        }
        for no in ["x=name:pay", "x=name:pay-*,image:other/*", "x=unit:*", "x=kind:unit", "x=address:10.2.0.0/16"] {
            assert!(!holds(no, &end), "{no}");
        }
    }

    #[test]
    fn ipv6_networks() {
        let end = end(Identity::new(Kind::Address, "fd77::2"), Some("fd77::2"));
        assert!(holds("lan=address:fd77::/16", &end) && holds("lan=address:fd77::2", &end));
        assert!(!holds("lan=address:fd78::/16", &end));
    }

    #[test]
    fn errors_name_what_is_wrong_with_a_rule() {
        let error = |text: &str| text.parse::<Rule>().expect_err(text);
        assert!(error("payments").contains("names no service"));
        assert!(error("=name:x").contains("no name"));
        assert!(error("payments=pay").contains("FIELD:PATTERN"));
        assert!(error("payments=name:").contains("name:*"));
        assert!(error("payments=pod:x").contains("use kind, name, namespace"));
        assert!(error("payments=kind:docker").contains("kubernetes_workload"));
        assert!(error("payments=address:10.0.0.0/64").contains("prefix"));
        assert!(error("payments=name:a,").contains("FIELD:PATTERN"));
    }

    #[test]
    fn a_file_of_rules() {
        let rules = Rules::parse("# ours\n\n payments=name:pay-*\nlan = address:10.0.0.0/8\n").expect("rules");
        assert_eq!(rules.0.iter().map(|rule| &*rule.name).collect::<Vec<_>>(), ["payments", "lan"]);
        let error = Rules::parse("payments=name:pay-*\nlan\n").expect_err("a line without a rule");
        assert!(error.starts_with("line 2: ") && error.contains("names no service"), "{error}");
        assert!(Rules::read("/nowhere").expect_err("no file").contains("/nowhere"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String) {
            let _ = text.parse::<Rule>();
            let _ = format!("x=name:{text}").parse::<Rule>();
        }
    }
}
