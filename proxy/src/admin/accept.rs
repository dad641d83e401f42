//! Which of the two text formats a scraper wants (RFC 9110 section 12.5.1).

use http::HeaderMap;
use http::header::ACCEPT;

use crate::metrics::Format;

/// The format for a request with these fields. `OpenMetrics` has to be asked
/// for by name, and not less than plain text: everything that reads metrics
/// knows the older format, and a browser shows it.
pub(super) fn format(fields: &HeaderMap) -> Format {
    let (mut open, mut plain) = (0.0, 0.0);
    let lists = fields.get_all(ACCEPT).iter();
    let ranges = lists
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','));
    for range in ranges {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let quality = parts.find_map(quality).unwrap_or(1.0);
        let best = match media_type.to_ascii_lowercase().as_str() {
            "application/openmetrics-text" => &mut open,
            "text/plain" => &mut plain,
            _ => continue,
        };
        *best = quality.max(*best);
    }
    if open > 0.0 && open >= plain {
        Format::OpenMetrics
    } else {
        Format::Text
    }
}

/// The weight, if the parameter is one; one that cannot be read rules its range out.
fn quality(parameter: &str) -> Option<f32> {
    let (name, value) = parameter.split_once('=')?;
    let is_weight = name.trim_end().eq_ignore_ascii_case("q");
    is_weight.then(|| value.trim().parse().unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn openmetrics_has_to_be_asked_for() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, expected) in [
            (prometheus, Format::OpenMetrics),
            ("Application/OpenMetrics-Text", Format::OpenMetrics),
            ("application/openmetrics-text; Q = 0.1", Format::OpenMetrics),
            ("text/plain;version=0.0.4", Format::Text),
            (
                "text/plain, application/openmetrics-text;q=0.9",
                Format::Text,
            ),
            ("application/openmetrics-text;q=0", Format::Text),
            ("application/openmetrics-text;q=x", Format::Text),
            ("text/html,*/*;q=0.8", Format::Text),
            ("*/*", Format::Text),
            ("", Format::Text),
        ] {
            let mut fields = HeaderMap::new();
            fields.insert(ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(format(&fields), expected, "{accept}");
        }
        assert_eq!(format(&HeaderMap::new()), Format::Text);
    }

    #[test]
    fn several_fields_are_one_list() {
        let mut fields = HeaderMap::new();
        fields.append(ACCEPT, HeaderValue::from_static("text/plain;q=0.1"));
        let open = HeaderValue::from_static("application/openmetrics-text");
        fields.append(ACCEPT, open);
        assert_eq!(format(&fields), Format::OpenMetrics);
    }
}
