use axum::extract::{Extension, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use redis::Client;
use std::sync::Arc;

#[derive(Clone)]
pub struct AppState {
    redis: Arc<Inner>,
}

struct Inner {
    pool: pools::Pool,
    url: String,
}

pub fn router(state: AppState) -> Router {
    let client = Client::open("redis://localhost").unwrap(); //~ client module either
    Router::new()
        .route("/", get(index))
        .route("/plain", post(plain))
        .route("/closure", get(|| async { Client::open("redis://localhost") })) //~ client request async
        .with_state(state)
}

async fn index(State(state): State<AppState>) -> String {
    let _ = state.redis.pool.get().await; //~ checkout request async
    helper(&state).await;
    state.load().await
}

/// Nothing in its signature tells: the router does.
async fn plain() {
    let client = redis::Client::open("redis://localhost").unwrap(); //~ client request async
    let _ = client.get_multiplexed_async_connection().await; //~ connection request async
}

async fn helper(state: &AppState) {
    let client = Client::open(state.redis.url.as_str()).unwrap(); //~ client request async
    further(client).await;
}

async fn further(client: Client) {
    let _ = client.get_connection_manager().await; //~ manager request async
}

impl AppState {
    async fn load(&self) -> String {
        let _ = self.redis.pool.get().await; //~ checkout request async
        String::new()
    }

    async fn at_start(&self) {
        let _ = self.redis.pool.get().await; //~ checkout module async
    }
}

#[actix_web::get("/flags")]
async fn attributed(pool: actix_web::web::Data<r2d2::Pool<redis::Client>>) {
    let _ = pool.get(); //~ checkout request sync
}

async fn extended(Extension(pool): Extension<bb8::Pool<bb8_redis::RedisConnectionManager>>, Json(_): Json<u8>) {
    tokio::spawn(async move {
        let _ = pool.get().await; //~ checkout request async
    });
}

struct Layered {
    client: Client,
}

impl tower::Service<u8> for Layered {
    fn call(&mut self, _: u8) {
        let _ = self.client.get_connection(); //~ connection request sync
    }
}
