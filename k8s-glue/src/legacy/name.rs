//! Names of the old format, which could be anything, as names of resources ([LEGACY-2]).

/// The longest name that stays as it is.
const LONGEST: usize = 63;

/// The name where it fits; else the nearest that does: cut, in lower case, dashes for underscores, from the first letter on. `None`
/// without any letter. Other characters that the API server refuses are left to it.
pub(super) fn sanitized(name: &str) -> Option<String> {
    if is_fine(name) {
        return Some(name.to_owned());
    }
    let cut = name.chars().take(LONGEST);
    let repaired: String = cut.map(|letter| if letter == '_' { '-' } else { letter.to_ascii_lowercase() }).collect();
    let start = repaired.find(|letter: char| letter.is_ascii_lowercase())?;
    repaired.get(start..).map(str::to_owned)
}

fn is_fine(name: &str) -> bool {
    (2..=LONGEST).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && name.starts_with(|letter: char| letter.is_ascii_lowercase())
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    // [LEGACY-2]
    #[test]
    fn names_are_repaired_as_little_as_possible() {
        assert_eq!(sanitized("office-2").as_deref(), Some("office-2"));
        assert_eq!(sanitized("My_Rack_Pool").as_deref(), Some("my-rack-pool"));
        assert_eq!(sanitized("01-Rack").as_deref(), Some("rack"));
        assert_eq!(sanitized(&"A".repeat(70)).map(|name| name.len()), Some(63));
        assert_eq!(sanitized("0123-45"), None);
    }
}
