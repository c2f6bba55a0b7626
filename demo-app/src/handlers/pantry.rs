//! A pantry: menus and items that are cached and may be stale for a while, views that are counted behind, orders that are written
//! through.

use actix_web::{get, patch, post, route, web};
use cache_middleware::{Batch, CacheManager, DataSet, DataStrategy, Sink, SinkError, WriteBehind, cached, invalidates};
use serde::Serialize;
use serde_json::json;

use crate::answer::{Answer, Answered, ApiError};
use crate::counters::Runs;
use crate::database::{Category, Database, Item, Menu, STATUSES, VIEWS};
use crate::input::Input;

/// Where views are counted. It records up to where in the transaction of the counts, so that each is counted once.
struct Views(Database);

impl Sink for Views {
    async fn write(&self, batch: &Batch) -> Result<(), SinkError> {
        let count = |write: &cache_middleware::Write| Some((write.key().parse().ok()?, write.amount()?));
        let views = batch.writes().iter().filter_map(count).collect();
        match self.0.add_views(views, batch.after(), batch.upto()).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(SinkError::Unavailable("somebody else has counted meanwhile".to_owned())),
            Err(error) => Err(SinkError::Unavailable(error.to_string())),
        }
    }

    async fn position(&self, _: &str) -> Result<Option<u64>, SinkError> {
        self.0.counted_views().await.map(Some).map_err(|error| SinkError::Unavailable(error.to_string()))
    }
}

/// What the routes of the pantry need.
#[derive(Debug, Clone)]
pub(crate) struct Pantry {
    views: WriteBehind,
    orders: DataSet<String>,
}

impl Pantry {
    pub(crate) async fn start(cache: &CacheManager, database: &Database) -> Result<Self, String> {
        let views = WriteBehind::builder(VIEWS)
            .interval("5s")
            .clears(|write| vec![format!("item:{}", write.key())])
            .start(cache, Views(database.clone()))
            .await
            .map_err(|error| error.to_string())?;
        let orders = DataStrategy::configuration().named("order").ttl("10m").target_hit_ratio(0.8);
        Ok(Self { views, orders: orders.of(cache).map_err(|error| error.to_string())? })
    }
}

#[cached(ttl = "menu", stale = "5m", tags = ["org:{org}:menu"], public)]
#[route("/orgs/{org}/menu", method = "GET", method = "HEAD")]
pub(super) async fn show_menu(
    org: web::Path<i64>,
    database: web::Data<Database>,
    runs: web::Data<Runs>,
) -> Answered<Menu> {
    runs.count("pantry::menu");
    let menu = database.menu(*org).await?;
    runs.hold().await;
    menu.map(Answer::ok).ok_or(ApiError::NotFound("organisation"))
}

#[cached(ttl = "menu", stale = "5m", tags = ["item:{id}"], public)]
#[route("/items/{id}", method = "GET", method = "HEAD")]
pub(super) async fn show_item(
    id: web::Path<i64>,
    database: web::Data<Database>,
    runs: web::Data<Runs>,
) -> Answered<Item> {
    runs.count("pantry::item");
    let item = database.item(*id).await?;
    runs.hold().await;
    item.map(Answer::ok).ok_or(ApiError::NotFound("item"))
}

#[invalidates(event = "item.updated", item_id = id, organization_id = out.data.organization_id)]
#[patch("/items/{id}")]
pub(super) async fn update_item(
    id: web::Path<i64>,
    body: web::Bytes,
    database: web::Data<Database>,
    runs: web::Data<Runs>,
) -> Answered<Item> {
    runs.count("pantry::update_item");
    let input = Input::parse(&body)?;
    let (name, price) = (input.optional_text("name")?, input.optional_number("priceCents")?);
    if name.is_none() && price.is_none() {
        let message = "has a name, or priceCents".to_owned();
        return Err(ApiError::Invalid { field: "body".to_owned(), message });
    }
    let item = database.update_item(*id, name, price).await?;
    runs.hold().await;
    item.map(Answer::ok).ok_or(ApiError::NotFound("item"))
}

#[invalidates(event = "category.updated", organization_id = out.data.organization_id)]
#[patch("/categories/{id}")]
pub(super) async fn update_category(
    id: web::Path<i64>,
    body: web::Bytes,
    database: web::Data<Database>,
    runs: web::Data<Runs>,
) -> Answered<Category> {
    runs.count("pantry::update_category");
    let category = database.rename_category(*id, Input::parse(&body)?.text("name")?).await?;
    runs.hold().await;
    category.map(Answer::ok).ok_or(ApiError::NotFound("category"))
}

/// How often an item was looked at: in the database, and not yet.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ViewsOf {
    item_id: i64,
    views: i64,
    waiting: i64,
}

#[post("/items/{id}/view")]
pub(super) async fn view(
    id: web::Path<i64>,
    pantry: web::Data<Pantry>,
    database: web::Data<Database>,
) -> Answered<ViewsOf> {
    let item = database.item(*id).await?.ok_or(ApiError::NotFound("item"))?;
    let key = id.to_string();
    let unavailable = |error: cache_middleware::CacheError| ApiError::Unavailable(error.to_string());
    pantry.views.add(&key, 1).await.map_err(unavailable)?;
    let waiting = pantry.views.pending_amount(&key).await.map_err(unavailable)?;
    Ok(Answer::accepted(ViewsOf { item_id: *id, views: item.views() + waiting, waiting }))
}

/// How far an order is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OrderStatus {
    order_id: i64,
    status: String,
}

#[get("/orders/{id}/status")]
pub(super) async fn order_status(
    id: web::Path<i64>,
    pantry: web::Data<Pantry>,
    database: web::Data<Database>,
    runs: web::Data<Runs>,
) -> Answered<OrderStatus> {
    let order_id = *id;
    let fetch = move || async move {
        runs.count("pantry::order_status");
        let status = database.order_status(order_id).await?;
        runs.hold().await;
        status.ok_or(ApiError::NotFound("order"))
    };
    let status = pantry.orders.get_or_fetch(&[&order_id.to_string()], fetch).await?;
    Ok(Answer::ok(OrderStatus { order_id, status }))
}

#[patch("/orders/{id}/status")]
pub(super) async fn set_order_status(
    id: web::Path<i64>,
    body: web::Bytes,
    cache: CacheManager,
    pantry: web::Data<Pantry>,
    database: web::Data<Database>,
) -> Answered<OrderStatus> {
    let order_id = *id;
    let status = Input::parse(&body)?.text("status")?;
    if !STATUSES.contains(&status.as_str()) {
        let message = format!("is one of {}", STATUSES.join(", "));
        return Err(ApiError::Invalid { field: "status".to_owned(), message });
    }
    let write = async || database.set_order_status(order_id, status).await?.ok_or(ApiError::NotFound("order"));
    let written = pantry.orders.write(&[&order_id.to_string()], write).await?;
    // For whoever shows it to the customer just now. Nobody waits for that.
    if let Err(error) = cache.announce(&format!("order:{order_id}"), &json!({"status": written.value})).await {
        log::warn!("nobody was told of order {order_id}: {error}");
    }
    Ok(Answer::ok(OrderStatus { order_id, status: written.value }))
}
