//! The map of this very program: its annotations are those of the tests.

use actix_web::{App, get, test, web};
use cache_middleware::{CacheManager, cached};

#[cached(ttl = "5m", tags = ["mapped:{id}"])]
#[get("/mapped/{id}")]
async fn above(id: web::Path<u64>) -> String {
    id.to_string()
}

#[get("/mapped-below/{id}")]
#[cached(ttl = "5m", key = "mapped:{id}", tags = ["mapped:{id}", "mapped-by-nobody"])]
async fn below(id: web::Path<u64>) -> String {
    id.to_string()
}

#[actix_web::test]
async fn it_leads_from_routes_to_tags_and_from_there_to_who_clears_them() {
    let builder = CacheManager::builder().on("item.updated", ["mapped:{id}"]).on("mapped.gone", ["mapped-nothing"]);
    let cache = builder.without_annotation_checks().build().await.expect("a manager");
    let map = cache.map();
    let read = |map: &cache_middleware::CacheMap, name: &str| {
        map.reads.iter().find(|read| read.item.ends_with(name)).expect("a read").clone()
    };
    assert_eq!(read(&map, "map::above").route.as_deref(), Some("GET /mapped/{id}"));
    // The attribute above hides it until it is asked for.
    assert_eq!(read(&map, "map::below").route, None);
    assert_eq!(read(&map, "map::below").key.as_deref(), Some("mapped:{id}"));
    let app = test::init_service(App::new().app_data(cache.clone()).service(below)).await;
    test::call_service(&app, test::TestRequest::get().uri("/mapped-below/1").to_request()).await;
    let map = cache.map();
    assert_eq!(read(&map, "map::below").route.as_deref(), Some("GET /mapped-below/{id}"));
    // Those of `tests/suite/attributes.rs`.
    let write = |event| map.writes.iter().find(|write| write.event.as_deref() == Some(event)).expect("a write");
    assert_eq!(write("item.renamed").route.as_deref(), Some("POST /items"));
    assert_eq!(write("item.updated").name(), "suite::attributes::update");

    let text = map.to_string();
    let lines = "GET /mapped-below/{id}  (";
    let after = &text[text.find(lines).expect("the read")..];
    let expected = "    <- item.updated <- suite::attributes::update\n";
    assert!(after.contains(&format!("  key mapped:{{id}}\n  tag mapped:{{id}}\n{expected}")), "{after}");
    let warned = |part: &str| map.warnings.iter().any(|warning| warning.contains(part));
    assert!(warned("clears the tag \"mapped-by-nobody\" of GET /mapped-below/{id}"), "{:#?}", map.warnings);
    assert!(warned("the rule of \"mapped.gone\" clears the tag \"mapped-nothing\""), "{:#?}", map.warnings);
    let json = serde_json::to_value(&map).expect("json");
    assert!(json["reads"].as_array().is_some_and(|reads| reads.len() == map.reads.len()));
}
