//! Suggestions for a name that no service has.

/// Names that are suggested.
const MAX_NEAR: usize = 3;
/// Names that are listed.
const MAX_LISTED: usize = 20;

/// Names that contain it, are contained in it, or take few changes of letters; the nearest first.
pub(super) fn of<'n>(name: &str, names: &'n [String]) -> Vec<&'n str> {
    let name = name.to_lowercase();
    let mut near: Vec<(usize, &str)> = names
        .iter()
        .filter_map(|known| {
            let lower = known.to_lowercase();
            // Of `shop/checkout`, people know the last part.
            let last = lower.rsplit('/').next().unwrap_or(&lower);
            let distance = changes(&name, &lower).min(changes(&name, last));
            let part = name.len() >= 2 && (lower.contains(&name) || (last.len() >= 2 && name.contains(last)));
            let limit = name.chars().count().div_ceil(3);
            (part || distance <= limit).then_some((if part { distance.min(limit) } else { distance }, &**known))
        })
        .collect();
    near.sort_unstable();
    near.into_iter().take(MAX_NEAR).map(|(_, known)| known).collect()
}

/// The first ones, and how many more there are.
pub(super) fn listed(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(MAX_LISTED).map(|name| &**name).collect();
    let more = names.len() - shown.len();
    let more = if more == 0 { String::new() } else { format!(" and {more} more (`weir edges --for 5s` has all)") };
    format!("{}{more}", shown.join(", "))
}

/// Letters to put in, take out or exchange (Levenshtein). Names are short: what is beyond a hundred letters is not looked at.
fn changes(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(100).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(100).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let fewest = (diagonal + usize::from(x != *y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], fewest);
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_letters() {
        assert_eq!((changes("redis", "redis"), changes("redsi", "redis"), changes("", "abc")), (0, 2, 3));
    }

    #[test]
    fn near_names_are_suggested() {
        let names = ["nginx", "postgres", "shop/checkout", "redis"].map(str::to_owned);
        assert_eq!(of("postgers", &names), ["postgres"]);
        assert_eq!(of("chekout", &names), ["shop/checkout"]);
        assert_eq!(of("Redis-server", &names), ["redis"]);
        assert!(of("kafka", &names).is_empty());
    }

    #[test]
    fn a_long_list_is_cut() {
        let names: Vec<String> = (0..25).map(|i| format!("s{i}")).collect();
        let text = listed(&names);
        assert!(text.starts_with("s0, s1") && text.contains("s19 and 5 more"), "{text}");
    }
}
