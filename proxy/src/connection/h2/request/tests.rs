//! Tests of `request.rs`.

use super::*;
use crate::http1::FieldName;
use http::Request;

fn parts(fields: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder()
        .method("POST")
        .uri("http://proxy.test/v1/files?a=b");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

#[test]
fn a_head_is_as_long_as_in_http_1() {
    let fields = [("cookie", "a=1"), ("x-a", "b"), ("cookie", "c=2")];
    let parts = parts(&fields);
    let same =
        "POST /v1/files?a=b HTTP/1.1\r\nhost: proxy.test\r\nx-a: b\r\ncookie: a=1; c=2\r\n\r\n";
    assert!(RequestHead::new(&parts, same.len()).is_ok());
    let limit = same.len() - 1;
    let refused = RequestHead::new(&parts, limit).unwrap_err();
    assert_eq!(refused, ProxyError::HeadersTooLarge { limit });
}

#[test]
fn a_head_may_have_100_fields() {
    let names: Vec<String> = (0..100).map(|number| format!("x-{number}")).collect();
    let mut fields: Vec<_> = names.iter().map(|name| (name.as_str(), "y")).collect();
    // With `:authority`, which is HTTP/1.1's Host, one too many.
    assert!(RequestHead::new(&parts(&fields), 32 * 1024).is_err());
    fields.pop();
    assert!(RequestHead::new(&parts(&fields), 32 * 1024).is_ok());
}

#[test]
fn cookies_become_one_field() {
    let fields = [("cookie", "a=1"), ("x-a", "b"), ("cookie", "c=2; d=3")];
    let head = RequestHead::new(&parts(&fields), 32 * 1024).unwrap();
    let fields: Vec<_> = head
        .view()
        .fields()
        .map(|(_, name, at)| (name, at))
        .collect();
    let expected: [(&[u8], &[u8]); 2] = [(b"x-a", b"b"), (b"cookie", b"a=1; c=2; d=3")];
    assert_eq!(fields, expected);
    assert_eq!(head.view().target(), b"/v1/files?a=b");
    assert_eq!(head.view().field(FieldName::Host), None);
}
