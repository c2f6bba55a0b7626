//! Another service's data, as this one keeps them; a pantry, orders, sessions, settings.

use std::process::Stdio;
use std::time::{Duration, Instant};

use cache_suite::{RedisServer, Response, send};
use serde_json::{Value, json};

use super::{Demo, command};

/// An answer: its status, and its JSON.
async fn ask(demo: &Demo, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    asked(&demo.ask(method, path, "", body).await)
}

fn asked(response: &Response) -> (u16, Value) {
    (response.status, serde_json::from_str(&response.body).unwrap_or_default())
}

async fn get(demo: &Demo, path: &str) -> (u16, Value) {
    ask(demo, "GET", path, None).await
}

/// Asks until the answer is the one that is waited for; for 20 s at most.
async fn until(what: &str, demo: &Demo, path: &str, is_so: impl Fn(&(u16, Value)) -> bool) -> (u16, Value) {
    let began = Instant::now();
    loop {
        let answer = get(demo, path).await;
        if is_so(&answer) {
            return answer;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{what}: {path} still answers {answer:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

const CHECK: &str = "/api/credits/check/crm.leads.create";

#[actix_web::test]
async fn operations_cost_what_the_wrapper_says() {
    let demo = Demo::start(&[]);
    let check = json!({"operation": "crm.leads.create", "creditCost": 2.5, "cached": true});
    assert_eq!(get(&demo, CHECK).await, (200, check));
    let validate = "/api/credits/validate?operation=crm.leads.create&userId=user-1";
    let expected = json!({"operation": "crm.leads.create", "creditCost": 2.5, "availableCredits": 10.0, "canAfford": true, "cached": true});
    assert_eq!(get(&demo, validate).await, (200, expected));

    let lead = || Some(json!({"userId": "user-1", "leadData": {"name": "Ada"}}));
    let (status, made) = ask(&demo, "POST", "/api/operations/lead-create", lead()).await;
    assert_eq!((status, &made["success"], &made["creditsLeft"]), (200, &json!(true), &json!(7.5)));
    assert!(made["leadId"].as_str().is_some_and(|id| id.starts_with("lead-")));

    // In effect when the change is answered.
    let (status, changed) =
        ask(&demo, "PUT", "/wrapper/credit-configs/crm.leads.create", Some(json!({"cost": 8}))).await;
    assert_eq!((status, &changed["published"]), (200, &json!(true)));
    until("the new cost", &demo, CHECK, |(_, check)| check["creditCost"] == 8.0).await;
    let (status, refused) = ask(&demo, "POST", "/api/operations/lead-create", lead()).await;
    assert_eq!((status, &refused["error"]), (402, &json!("Insufficient credits")));
    assert_eq!(get(&demo, validate).await.1["availableCredits"], 7.5, "nothing was deducted");

    let nobody = Some(json!({"userId": "nobody", "leadData": {}}));
    assert_eq!(ask(&demo, "POST", "/api/operations/lead-create", nobody).await.0, 404);
    assert_eq!(ask(&demo, "POST", "/api/operations/lead-create", Some(json!({}))).await.0, 400);
    assert_eq!(ask(&demo, "DELETE", "/wrapper/credit-configs/crm.leads.create", None).await.0, 200);
    let gone = until("there is none", &demo, CHECK, |(status, _)| *status == 404).await;
    assert_eq!(gone.1, json!({"error": "Operation not configured", "operation": "crm.leads.create", "cached": true}));
    assert_eq!(ask(&demo, "POST", "/api/operations/lead-create", lead()).await.0, 404);
}

#[actix_web::test]
async fn profiles_and_permissions_follow_the_wrapper() {
    let demo = Demo::start(&[]);
    let (status, first) = get(&demo, "/api/users/user-456").await;
    assert_eq!((status, &first["name"], &first["cached"]), (200, &json!("John"), &json!(false)));
    let (_, second) = get(&demo, "/api/users/user-456/profile").await;
    assert_eq!((&second["department"], &second["cached"]), (&json!("Sales"), &json!(true)));
    assert!(second["cacheExpiry"].as_str().is_some_and(|at| at.ends_with('Z')), "{second}");
    assert_eq!(get(&demo, "/api/users/nobody").await.0, 404);

    let may = "/api/permissions/check?userId=user-2&permission=crm.leads.create";
    let (_, before) = get(&demo, may).await;
    assert_eq!((&before["authorized"], &before["cached"]), (&json!(false), &json!(true)));
    let change = Some(json!({"title": "Head", "roles": ["sales"]}));
    get(&demo, "/api/users/user-2").await;
    assert_eq!(ask(&demo, "PUT", "/wrapper/users/user-2", change).await.0, 200);
    let (_, profile) = get(&demo, "/api/users/user-2").await;
    assert_eq!((&profile["title"], &profile["cached"]), (&json!("Head"), &json!(false)), "p1: it was cleared");
    until("the new role", &demo, may, |(_, may)| may["authorized"] == true).await;
    assert_eq!(ask(&demo, "PUT", "/wrapper/roles/sales", Some(json!({"permissions": []}))).await.0, 200);
    until("the role may nothing", &demo, may, |(_, may)| may["authorized"] == false).await;
    let inactive = Some(json!({"status": "inactive"}));
    assert_eq!(ask(&demo, "PUT", "/wrapper/users/user-456", inactive).await.0, 200);
    let john = "/api/permissions/check?userId=user-456&permission=crm.leads.export";
    until("who is inactive may nothing", &demo, john, |(_, may)| may["authorized"] == false).await;
    assert_eq!(ask(&demo, "PUT", "/wrapper/users/user-456", Some(json!({"shoe": 44}))).await.0, 400);
}

/// Three nodes, and the wrapper in a process of its own.
#[actix_web::test]
async fn p8_three_nodes_stay_up_without_the_wrapper() {
    let redis = RedisServer::start();
    let folder = cache_suite::temporary_folder("wrapper");
    let file = format!("sqlite://{}", folder.join("wrapper.sqlite").display());
    let wrapper_at = |bind: &str| {
        let mut wrapper = command();
        wrapper.arg("wrapper").env("REDIS_URL", redis.url()).env("WRAPPER_DATABASE_URL", &file).env("BIND", bind);
        Demo::run(wrapper.stderr(Stdio::null()))
    };
    let wrapper = wrapper_at("127.0.0.1:0");
    let address = wrapper.address.to_string();
    let url = format!("http://{address}/wrapper");
    let variables = [("REDIS_URL", redis.url()), ("WRAPPER_URL", url)];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let nodes: Vec<Demo> = (0..3).map(|_| Demo::start(&variables)).collect();
    assert_eq!(get(&nodes[0], "/wrapper/roles").await.0, 404, "it is elsewhere");

    let cost = json!({"cost": 4}).to_string();
    let put = send(wrapper.address, "PUT", "/wrapper/credit-configs/crm.leads.create", &[], &cost).await;
    assert_eq!(put.status, 200, "{}", put.body);
    for node in &nodes {
        until("the new cost on each node", node, CHECK, |(_, check)| check["creditCost"] == 4.0).await;
    }
    let (_, fetched) = get(&nodes[0], "/api/users/user-1").await;
    assert_eq!(fetched["cached"], false);
    assert_eq!(get(&nodes[1], "/api/users/user-1").await.1["cached"], true, "nodes share what one has fetched");

    drop(wrapper);
    for node in &nodes {
        assert_eq!(get(node, CHECK).await.0, 200);
        let (status, may) = get(node, "/api/permissions/check?userId=user-1&permission=crm.leads.create").await;
        assert_eq!((status, &may["cached"]), (200, &json!(true)));
        assert_eq!(get(node, "/api/users/user-1").await.0, 200);
        let away = get(node, "/api/users/user-5").await;
        assert_eq!(away, (503, json!({"error": "The wrapper does not answer"})));
        let lead = Some(json!({"userId": "user-1", "leadData": {}}));
        assert_eq!(ask(node, "POST", "/api/operations/lead-create", lead).await.0, 503);
    }
    let _wrapper = wrapper_at(&address);
    until("the wrapper is back", &nodes[0], "/api/users/user-5", |(status, _)| *status == 200).await;
    assert_eq!(get(&nodes[0], CHECK).await.1["creditCost"], 4.0, "it has kept what it was told");
}

#[actix_web::test]
async fn menus_are_cached_and_views_are_counted_behind() {
    let demo = Demo::start(&[]);
    assert_eq!(demo.get("/api/orgs/1/menu").await.0, super::STORED);
    assert_eq!(demo.get("/api/orgs/1/menu").await.0, super::HIT);
    assert_eq!(demo.get("/api/orgs/2/menu").await.0, super::STORED);
    assert_eq!(demo.get("/api/items/1").await.0, super::STORED);
    assert_eq!(ask(&demo, "PATCH", "/api/items/1", Some(json!({"priceCents": 199}))).await.0, 200);
    let (outcome, item) = demo.get("/api/items/1").await;
    assert_eq!((outcome.as_str(), &item["data"]["priceCents"]), (super::STORED, &json!(199)));
    assert_eq!(demo.get("/api/orgs/1/menu").await.0, super::STORED);
    assert_eq!(demo.get("/api/orgs/2/menu").await.0, super::HIT, "another organisation's");
    assert_eq!(ask(&demo, "PATCH", "/api/categories/1", Some(json!({"name": "Bakery"}))).await.0, 200);
    let (outcome, menu) = demo.get("/api/orgs/1/menu").await;
    assert_eq!((outcome.as_str(), &menu["data"]["categories"][0]["name"]), (super::STORED, &json!("Bakery")));
    for body in [json!({}), json!({"priceCents": -1}), json!({"name": ""})] {
        assert_eq!(ask(&demo, "PATCH", "/api/items/1", Some(body.clone())).await.0, 400, "{body}");
    }
    assert_eq!(get(&demo, "/api/orgs/9/menu").await.0, 404);

    for views in 1..=3 {
        let (status, viewed) = ask(&demo, "POST", "/api/items/2/view", None).await;
        assert_eq!((status, &viewed["data"]["views"]), (202, &json!(views)));
    }
    until("they are counted", &demo, "/api/items/2", |(_, item)| item["data"]["views"] == 3).await;
    assert_eq!(ask(&demo, "POST", "/api/items/999/view", None).await.0, 404);
}

#[actix_web::test]
async fn orders_are_written_through_and_told() {
    let redis = RedisServer::start();
    let demo = Demo::start(&[("REDIS_URL", &redis.url())]);
    let mut connection = redis.connection();
    let mut customer = connection.as_pubsub();
    customer.subscribe("order:7").expect("a subscription");
    let path = "/api/orders/7/status";
    assert_eq!(get(&demo, path).await.1["data"]["status"], "placed");
    let (status, ready) = ask(&demo, "PATCH", path, Some(json!({"status": "ready"}))).await;
    assert_eq!((status, &ready["data"]["status"]), (200, &json!("ready")));
    assert_eq!(get(&demo, path).await.1["data"]["status"], "ready");
    let told: String = customer.get_message().expect("a message").get_payload().expect("a text");
    assert_eq!(told, r#"{"status":"ready"}"#);
    assert_eq!(ask(&demo, "PATCH", path, Some(json!({"status": "lost"}))).await.0, 400);
    assert_eq!(ask(&demo, "PATCH", "/api/orders/999/status", Some(json!({"status": "ready"}))).await.0, 404);
    assert_eq!(demo.runs("pantry::order_status").await, 1, "it was read from the database once");
}

#[actix_web::test]
async fn sessions_end_with_a_logout_on_all_nodes() {
    let redis = RedisServer::start();
    let folder = cache_suite::temporary_folder("sessions");
    let file = format!("sqlite://{}", folder.join("demo.sqlite").display());
    let nodes = [(); 2].map(|()| Demo::start(&[("REDIS_URL", &redis.url()), ("DATABASE_URL", &file)]));
    let with = async |node: &Demo, method: &str, path: &str, token: &str| {
        asked(&node.ask(method, &format!("/api/v1/acme/{path}"), token, None).await)
    };
    let login = async |node: &Demo| {
        let (status, session) = ask(node, "POST", "/api/v1/acme/login", Some(json!({"userId": "user123"}))).await;
        assert_eq!(status, 201);
        session["data"]["token"].as_str().expect("a token").to_owned()
    };
    let (first, second) = (login(&nodes[0]).await, login(&nodes[1]).await);
    for node in &nodes {
        for token in [&first, &second] {
            let (status, me) = with(node, "GET", "me", token).await;
            assert_eq!((status, &me["data"]["tenantId"]), (200, &json!("acme")));
        }
        assert_eq!(asked(&node.ask("GET", "/api/v1/globex/me", &first, None).await).0, 401, "p7");
    }
    assert_eq!(with(&nodes[1], "POST", "logout", &first).await.0, 200);
    // Strict: at once.
    assert_eq!(with(&nodes[0], "GET", "me", &first).await.0, 401);
    assert_eq!(with(&nodes[0], "GET", "me", &second).await.0, 200);
    let third = login(&nodes[0]).await;
    assert_eq!(with(&nodes[0], "POST", "logout?everywhere=true", &third).await.1["data"]["closed"], 2);
    for token in [&second, &third, "user123.00", "none"] {
        assert_eq!(with(&nodes[1], "GET", "me", token).await.0, 401, "{token}");
    }
    assert_eq!(ask(&nodes[0], "POST", "/api/v1/acme/login", Some(json!({"userId": "nobody"}))).await.0, 404);
    assert_eq!(ask(&nodes[0], "POST", "/api/v1/nobody/login", Some(json!({"userId": "user123"}))).await.0, 404);
}

#[actix_web::test]
async fn settings_are_in_effect_at_once_and_projects_are_kept() {
    let redis = RedisServer::start();
    let folder = cache_suite::temporary_folder("settings");
    let file = format!("sqlite://{}", folder.join("demo.sqlite").display());
    let nodes = [(); 2].map(|()| Demo::start(&[("REDIS_URL", &redis.url()), ("DATABASE_URL", &file)]));
    let path = "/api/v1/acme/config/app_settings";
    for theme in ["light", "dark", "blue"] {
        for node in &nodes {
            assert_eq!(get(node, path).await.0, 200);
        }
        let settings = json!({"theme": theme});
        assert_eq!(ask(&nodes[0], "PUT", path, Some(settings.clone())).await.0, 200);
        for node in &nodes {
            assert_eq!(get(node, path).await.1["data"], settings);
        }
    }
    assert_eq!(get(&nodes[0], "/api/v1/globex/config/app_settings").await.1["data"]["theme"], "dark", "p7");
    assert_eq!(get(&nodes[0], "/api/v1/acme/config/none").await.0, 404);
    assert_eq!(ask(&nodes[0], "PUT", path, Some(json!([]))).await.0, 400);
    for _ in 0..3 {
        for node in &nodes {
            assert_eq!(get(node, "/api/v1/acme/projects/proj123").await.1["data"]["memberCount"], 5);
        }
    }
    assert_eq!(nodes[0].runs("accounts::project").await + nodes[1].runs("accounts::project").await, 1);
}
