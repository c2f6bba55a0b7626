//! From the habits of Express (`apicache`) and of ASP.NET Core (`OutputCache`): policies with names, groups or tags, and eviction after
//! a write.
//!
//! ```text
//! Express, apicache                              ASP.NET Core, OutputCache                          here
//! app.use(cache('5 minutes'))                    app.UseOutputCache()                               .wrap(cache.preset("menu"))
//! options                                        options.AddPolicy("menu", b => b.Expire(..))       .preset("menu", Preset::new("5m"))
//! req.apicacheGroup = `org:${req.params.org}`    b.Tag("menu"): the same for all requests           .tags(|request| ..): of each request
//! apicache.clear(`org:1`)                        store.EvictByTagAsync("menu", ct)                  .wrap(cache.invalidates(..))
//! appendKey: (req) => req.user.id                b.VaryByValue(..)                                  .identity(..), .vary([..])
//! ```
//!
//! ```sh
//! cargo run -p cache-middleware --example migrate_from_express    # at 127.0.0.1:8080, or the address that follows `--`
//! curl -i 127.0.0.1:8080/orgs/1/menu    # fwd=uri-miss; stored
//! curl -i 127.0.0.1:8080/orgs/1/menu    # hit; ttl=…
//! curl -i 127.0.0.1:8080/orgs/2/menu    # fwd=uri-miss; stored
//! curl -i -X POST 127.0.0.1:8080/orgs/1/items    # 201
//! curl -i 127.0.0.1:8080/orgs/1/menu    # fwd=uri-miss; stored
//! curl -i 127.0.0.1:8080/orgs/2/menu    # hit; ttl=…
//! ```

use actix_web::web::{self, Path};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use cache_middleware::{CacheManager, Preset, escape};

async fn menu(org: Path<u64>) -> String {
    format!("the menu of {org}")
}

async fn add() -> HttpResponse {
    HttpResponse::Created().finish()
}

fn org(request: &HttpRequest) -> &str {
    request.match_info().query("org")
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    env_logger::init_from_env(env_logger::Env::new().default_filter_or("info"));
    let cache = CacheManager::builder()
        .preset("menu", Preset::new("5m").tags(|request| vec![format!("org:{}", escape(org(request.request())))]))
        .on("item.added", ["org:{org}"])
        .from_env()
        .build()
        .await?;
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    HttpServer::new(move || {
        let added = cache.invalidates("item.added").payload(|request, _| vec![("org", org(request).to_owned())]);
        App::new()
            .service(web::resource("/orgs/{org}/menu").wrap(cache.preset("menu")).get(menu))
            .service(web::resource("/orgs/{org}/items").wrap(added).post(add))
    })
    .bind(address)?
    .run()
    .await
}
