//! What `build()` asks of the program's annotations.

use std::collections::HashSet;

use crate::annotation::{Annotation, AnnotationKind};
use crate::event::{Rules, Subscribers};
use crate::policy::{Ttl, TtlTable};

/// Every annotation that the settings do not fit, with its place.
pub(super) fn annotations(ttls: &TtlTable, rules: &Rules, subscribers: &Subscribers, tenants: bool) -> Vec<String> {
    let mut all: Vec<_> = Annotation::all().collect();
    all.sort_by_key(|annotation| (annotation.file, annotation.line));
    let twins = twins(&all);
    all.into_iter().flat_map(|annotation| check(annotation, ttls, rules, subscribers, tenants)).chain(twins).collect()
}

/// Cached functions of one name at one place, as a macro may write them: nothing would tell their entries apart.
fn twins(all: &[&Annotation]) -> Vec<String> {
    let cached = all.iter().filter(|annotation| matches!(annotation.kind, AnnotationKind::Cached { .. }));
    let mut places = HashSet::new();
    let again = cached.filter(|it| !places.insert((it.item, it.file, it.line, it.column)));
    again
        .map(|it| format!("{}: another cached function has this name and stands at this place, as a macro writes it: give them different names", it.place()))
        .collect()
}

fn check(
    annotation: &Annotation,
    ttls: &TtlTable,
    rules: &Rules,
    subscribers: &Subscribers,
    tenants: bool,
) -> Vec<String> {
    let at = |problem: String| format!("{}: {problem}", annotation.place());
    match &annotation.kind {
        AnnotationKind::Cached { ttl: Ttl::Named(name), .. } if ttls.get(name).is_none() => {
            vec![at(format!("{}. Add `.ttl({name:?}, \"5m\")` to the builder", ttls.unknown(name)))]
        }
        AnnotationKind::Cached { ttl: Ttl::Named(name), adaptive: Some(bounds), .. } => {
            let problem = ttls.get(name).and_then(|ttl| bounds.problem(ttl));
            problem.map(at).into_iter().collect()
        }
        AnnotationKind::Event { name, .. } if !rules.has(name) && !subscribers.has(name) => {
            vec![at(rules.unknown(name))]
        }
        AnnotationKind::Event { name, fields } => rules
            .placeholders(name)
            .filter(|(placeholder, _)| !fields.contains(placeholder))
            .map(|(placeholder, tag)| {
                let supplied = if fields.is_empty() { "no fields".to_owned() } else { fields.join(", ") };
                at(format!(
                    "the rule of {name:?} needs the field {placeholder:?} for the tag {tag:?}, \
                     but this supplies {supplied}. Add `{placeholder} = ..`"
                ))
            })
            .collect(),
        AnnotationKind::TenantBound if !tenants => {
            vec![at("`tenant_bound` needs to know the tenant of a request. Add `.tenant_of(|head| ..)` to the builder"
                .to_owned())]
        }
        AnnotationKind::Cached { .. } | AnnotationKind::Tags { .. } | AnnotationKind::TenantBound => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::AdaptiveTtl;
    use std::time::Duration;

    fn problems(kind: AnnotationKind) -> Vec<String> {
        let mut ttls = TtlTable::new(Duration::from_secs(1));
        ttls.insert("session-list", Duration::from_secs(1));
        let mut rules = Rules::default();
        assert!(rules.add("session.created", ["teacher:{teacher_id}".to_owned()]).is_empty());
        let subscribers = Subscribers::default();
        subscribers.add("logged.in", async |_| {});
        let annotation = Annotation { item: "app::handler", route: None, file: "src/app.rs", line: 7, column: 1, kind };
        check(&annotation, &ttls, &rules, &subscribers, false)
    }

    #[test]
    fn what_fits_is_not_mentioned() {
        for kind in [
            AnnotationKind::Cached {
                ttl: Ttl::Named("session-list"),
                key: None,
                tags: &[],
                strict: false,
                adaptive: None,
            },
            AnnotationKind::Cached {
                ttl: Ttl::For(Duration::from_secs(9)),
                key: None,
                tags: &[],
                strict: false,
                adaptive: None,
            },
            AnnotationKind::Event { name: "session.created", fields: &["teacher_id", "more"] },
            AnnotationKind::Event { name: "logged.in", fields: &[] },
            AnnotationKind::Tags { tags: &["x"], keys: &[] },
        ] {
            assert_eq!(problems(kind), Vec::<String>::new());
        }
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_place_and_the_way_out() {
        for (kind, expected) in [
            (
                AnnotationKind::Cached {
                    ttl: Ttl::Named("sesion-list"),
                    key: None,
                    tags: &[],
                    strict: false,
                    adaptive: None,
                },
                &["src/app.rs:7 (app::handler)", "\"sesion-list\"", "did you mean \"session-list\"?", ".ttl("][..],
            ),
            (
                AnnotationKind::Cached {
                    ttl: Ttl::Named("session-list"),
                    key: None,
                    tags: &[],
                    strict: false,
                    adaptive: Some(AdaptiveTtl { shortest: Duration::from_secs(5), longest: Duration::from_secs(9) }),
                },
                &["src/app.rs:7", "adaptive_ttl", "(1s)", "5s to 9s"],
            ),
            (AnnotationKind::TenantBound, &["src/app.rs:7", "tenant_bound", ".tenant_of("]),
            (
                AnnotationKind::Event { name: "session.create", fields: &[] },
                &["src/app.rs:7", "\"session.create\"", "did you mean \"session.created\"?", ".on("],
            ),
            (
                AnnotationKind::Event { name: "session.created", fields: &["teacher"] },
                &["src/app.rs:7", "\"teacher_id\"", "teacher:{teacher_id}", "supplies teacher"],
            ),
        ] {
            let [problem] = &problems(kind)[..] else { panic!("one problem expected") };
            for part in expected {
                assert!(problem.contains(part), "{part} is missing in: {problem}");
            }
        }
    }
}
