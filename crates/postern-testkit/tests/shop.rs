//! The shop's generated rows are what the example promises.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use postern_testkit::postgres::{Account, CARELESS, Installation, Server, ServerOptions, make_cluster};
use postern_testkit::{port, shop};
use std::os::unix::fs::PermissionsExt as _;

fn luhn_holds(number: &str) -> bool {
    let sum: u32 = number
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(digit - b'0') * if place % 2 == 1 { 2 } else { 1 };
            if digit > 9 { digit - 9 } else { digit }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[test]
fn rows_of_the_shop() {
    for found in Installation::all() {
        let installation = Installation::find(Some(found.major)).unwrap();
        let files = tempfile::tempdir().unwrap();
        std::fs::set_permissions(files.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let account = Account::choose().unwrap();
        let socket_directory = files.path().join("pg");
        std::fs::create_dir(&socket_directory).unwrap();
        account.own(&socket_directory).unwrap();
        let data = socket_directory.join("data");
        make_cluster(&installation, account, &data).unwrap();
        let port = port::reserve().unwrap();
        let options = ServerOptions {
            data,
            socket_directory,
            port: port.number,
            log: files.path().join("log"),
            settings: CARELESS.map(str::to_owned).to_vec(),
        };
        let mut server = Server::start(&installation, account, options).unwrap();
        shop::create(&server, "x", 0.02).unwrap();
        let ask = |sql: &str| {
            server
                .psql(shop::DATABASE, &["-qAt"], sql)
                .unwrap()
                .trim()
                .to_owned()
        };

        let cards = ask("SELECT card_number FROM shop.customers");
        assert_eq!(cards.lines().count(), 400);
        assert!(
            cards.lines().all(|card| card.len() == 16 && luhn_holds(card)),
            "a card fails Luhn"
        );
        // An order, its customer, its lines and their products belong to one tenant.
        let strangers = "SELECT count(*) FROM shop.orders o JOIN shop.customers c ON c.id = o.customer_id
            JOIN shop.order_lines l ON l.order_id = o.id JOIN shop.products p ON p.id = l.product_id
            WHERE c.tenant_id <> o.tenant_id OR l.tenant_id <> o.tenant_id OR p.tenant_id <> o.tenant_id";
        assert_eq!(ask(strangers), "0");
        assert_eq!(ask("SELECT count(*) FROM shop.order_lines"), "4800");
        // The login role has nothing before it takes on another.
        let refused = server.psql(
            shop::DATABASE,
            &["-qAt", "-v", "ON_ERROR_STOP=1"],
            "SET SESSION AUTHORIZATION postern; SELECT * FROM shop.tenants",
        );
        assert!(refused.unwrap_err().to_string().contains("permission denied"));
        let allowed = "SET SESSION AUTHORIZATION postern; SET ROLE app; SELECT count(*) FROM shop.tenants";
        assert_eq!(ask(allowed), "20");
        server.stop();
    }
}
