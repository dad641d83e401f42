//! The status page for a browser: one document with its style and its script, which asks for `/status` again and again and loads
//! nothing from anywhere. Without scripts it shows what `plain` makes.
//!
//! Strings from outside reach the page as JSON, and its script makes nothing but text of them. The fields say so to the browser,
//! too: what is neither this style nor this script does not run.

mod plain;

use std::sync::LazyLock;

use aws_lc_rs::digest;
use data_encoding::BASE64;
use http::HeaderValue;

use super::status::Status;

const INDEX: &str = include_str!("page/index.html");
const STYLE: &str = include_str!("page/style.css");
/// In the order in which one needs the other.
const SCRIPT: &str = concat!(
    include_str!("page/base.js"),
    include_str!("page/plot.js"),
    include_str!("page/table.js"),
    include_str!("page/traffic.js"),
    include_str!("page/state.js"),
    include_str!("page/main.js"),
);

/// Where the parts go.
const PLACES: [&str; 3] = ["{{style}}", "{{plain}}", "{{script}}"];

/// The value of `Content-Security-Policy`.
static POLICY: LazyLock<Option<HeaderValue>> = LazyLock::new(|| {
    let hash = |text: &str| {
        let digest = digest::digest(&digest::SHA256, text.as_bytes());
        BASE64.encode(digest.as_ref())
    };
    let policy = format!(
        "default-src 'none'; connect-src 'self'; img-src data:; style-src 'sha256-{}'; script-src 'sha256-{}'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(STYLE),
        hash(SCRIPT)
    );
    HeaderValue::from_str(&policy).ok()
});

/// Renders the page.
pub fn render(status: &Status) -> String {
    let mut page = String::with_capacity(INDEX.len() + STYLE.len() + SCRIPT.len() + 8_192);
    let mut rest = INDEX;
    for (place, text) in PLACES.iter().zip([STYLE, &plain::render(status), SCRIPT]) {
        let (before, after) = rest.split_once(place).unwrap_or((rest, ""));
        page.push_str(before);
        page.push_str(text);
        rest = after;
    }
    page.push_str(rest);
    page
}

/// What a browser may do with it.
pub fn policy() -> Option<HeaderValue> {
    POLICY.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_a_place_for_each_part_and_none_ends_early() {
        let mut rest = INDEX;
        for place in PLACES {
            rest = rest.split_once(place).unwrap().1;
        }
        assert!(!STYLE.contains("</style") && !SCRIPT.contains("</script"));
        assert!(policy().is_some());
    }

    #[test]
    fn the_page_is_small() {
        let all = INDEX.len() + STYLE.len() + SCRIPT.len();
        assert!(all < 45 * 1024, "{all} bytes");
    }
}
