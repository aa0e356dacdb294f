//! Stopping the app.

use std::{net::TcpStream, time::Instant};

use nix::sys::signal::Signal;
use onerow::prelude::*;
use onerow_testing::{TestDatabase, on_every_backend};
use serde_json::json;

use crate::harness::{App, SlowRequest, eventually};

on_every_backend! {
    async fn sigterm_in_the_middle_of_a_slow_request_lets_it_finish(db: TestDatabase) {
        let mut app = App::start(db.url());
        let member =
            app.post("/members/", &json!({ "email": "ada@example.org" })).expect(201)["id"].clone();
        let lock = db.begin().await.unwrap();
        // It keeps other writers from the member's row on PostgreSQL, and from the whole file on
        // SQLite.
        lock.execute_unprepared("DELETE FROM members").await.unwrap();
        let mut slow = SlowRequest::begin(
            app.address(),
            "/todos/",
            &json!({ "member_id": member, "task": "slow" }),
        );
        slow.send_body();

        app.signal(Signal::SIGTERM);
        app.log().wait_for("SIGTERM: stopping");
        eventually("a closed listener", || TcpStream::connect(app.address()).err());
        assert!(app.is_running());
        lock.rollback().await.unwrap();

        assert!(slow.answer().starts_with("HTTP/1.1 201 "));
        let (code, log) = app.wait();
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("the pool is closed"), "{log}");
        let app = App::start(db.url());
        assert_eq!(app.get("/todos/").expect(200)["todos"][0]["task"], "slow");
    }

    async fn sigterm_waits_for_a_client_that_is_still_sending(db: TestDatabase) {
        let app = App::start(db.url());
        let mut slow =
            SlowRequest::begin(app.address(), "/members/", &json!({ "email": "ada@example.org" }));

        app.signal(Signal::SIGTERM);
        app.log().wait_for("SIGTERM: stopping");
        slow.send_body();

        assert!(slow.answer().starts_with("HTTP/1.1 201 "));
        let (code, log) = app.wait();
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("the pool is closed"), "{log}");
    }

    async fn sigint_stops_an_idle_app_at_once(db: TestDatabase) {
        let app = App::start(db.url());
        // This leaves a connection that is kept alive.
        app.get("/control/ping/").expect(200);

        let asked = Instant::now();
        app.signal(Signal::SIGINT);
        let (code, log) = app.wait();

        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("SIGINT: stopping") && log.contains("the pool is closed"), "{log}");
        assert!(asked.elapsed().as_secs() < 10, "{:?}", asked.elapsed());
    }

    async fn a_client_that_never_finishes_is_cut_off_after_the_timeout(db: TestDatabase) {
        let app = App::start_with(db.url(), &["--shutdown-timeout", "1"]);
        let stalled =
            SlowRequest::begin(app.address(), "/members/", &json!({ "email": "ada@example.org" }));

        app.signal(Signal::SIGTERM);
        let (code, log) = app.wait();

        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("they are cut off") && !log.contains("the pool is closed"), "{log}");
        assert_eq!(stalled.answer(), "");
    }
}
