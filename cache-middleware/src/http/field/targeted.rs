//! Targeted cache control (RFC 9213): a field for one kind of cache, which goes before `Cache-Control` and `Expires`.

use std::time::Duration;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use sfv::{BareItem, Dictionary, ListEntry, Parser};

use super::cache_control::{Directives, Seconds};

/// The directives of the first field of the list that is there, not empty, and a dictionary (RFC 9213 section 2.2).
pub(in crate::http) fn directives(headers: &HeaderMap, targets: &[HeaderName]) -> Option<Directives> {
    targets.iter().find_map(|target| {
        let lines: Vec<&[u8]> = headers.get_all(target).map(HeaderValue::as_bytes).collect();
        let dictionary: Dictionary = Parser::new(&lines.join(&b", "[..])).parse().ok()?;
        (!dictionary.is_empty()).then(|| of(&dictionary))
    })
}

/// A directive of another type than its own is ignored (RFC 9213 section 2.1).
fn of(dictionary: &Dictionary) -> Directives {
    let mut directives = Directives::default();
    for (name, value) in dictionary {
        // What keeps a response back does so whatever is said beside it: fields that it is about, or anything else.
        let denied = matches!(value, ListEntry::Item(item) if item.bare_item == BareItem::Boolean(false));
        if matches!(name.as_str(), "private" | "no-cache" | "no-store") && !denied {
            directives.set_flag(name.as_str().as_bytes());
        }
        let ListEntry::Item(item) = value else { continue };
        let time = match name.as_str() {
            "max-age" => &mut directives.max_age,
            "s-maxage" => &mut directives.s_maxage,
            "stale-while-revalidate" => &mut directives.stale_while_revalidate,
            "stale-if-error" => &mut directives.stale_if_error,
            flag => {
                if item.bare_item == BareItem::Boolean(true) {
                    directives.set_flag(flag.as_bytes());
                }
                continue;
            }
        };
        if let BareItem::Integer(seconds) = item.bare_item {
            let seconds = u64::try_from(i64::from(seconds))
                .map_or(Seconds::Invalid, |seconds| Seconds::Of(Duration::from_secs(seconds.min(1 << 31))));
            *time = Some(seconds);
        }
    }
    directives
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifetime(lines: &[&'static str]) -> Option<Option<u64>> {
        let target = HeaderName::from_static("app-cache-control");
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(target.clone(), HeaderValue::from_static(line));
        }
        directives(&headers, &[target]).map(|said| said.lifetime().map(|duration| duration.as_secs()))
    }

    #[test]
    fn a_targeted_field_is_a_dictionary() {
        assert_eq!(lifetime(&["max-age=60"]), Some(Some(60)));
        assert_eq!(lifetime(&["foobar, max-age=60"]), Some(Some(60)));
        assert_eq!(lifetime(&["max-age=10", "max-age=60"]), Some(Some(60)), "the last of a dictionary");
        assert_eq!(lifetime(&["max-age=99999999999"]), Some(Some(1 << 31)));
        assert_eq!(lifetime(&["max-age=-1"]), Some(Some(0)));
        assert_eq!(lifetime(&["max-age=\"60\""]), Some(None), "another type says nothing");
        assert_eq!(lifetime(&["max-age=60.5"]), Some(None));
        for unparsable in [&["max-age=60, &&&"][..], &["MaX-aGe=60"], &["max-age =60"], &["max-age= 60"], &[""], &[]] {
            assert_eq!(lifetime(unparsable), None, "{unparsable:?}");
        }
    }
}
