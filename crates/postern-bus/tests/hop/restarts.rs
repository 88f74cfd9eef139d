use crate::server::{Server, binaries, hop, soon};
use futures_util::future::join_all;
use postern_bus::provision::{Storage, provision};
use postern_bus::{Inlet, Outlet, PublishError};
use rustix::process::Signal;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_killed_server_with_files_is_found_again_with_all_it_had() {
    for binary in binaries() {
        let mut server = Server::new(&binary);
        server.start();
        soon("provisioning", provision(&server.admin(), &[hop(Storage::File)]))
            .await
            .unwrap();
        let outlet = soon("the outlet", Outlet::connect(&server.outlet()))
            .await
            .unwrap();
        let mut inlet = soon("the inlet", Inlet::connect(&server.inlet("reader", "c1")))
            .await
            .unwrap();
        soon("a confirmation", outlet.publish("hop", "unacknowledged".into()))
            .await
            .unwrap();
        let first = soon("the message", inlet.next(10)).await;
        assert_eq!(&first[0].payload[..], b"unacknowledged");

        for round in 0..3 {
            server.kill();
            let lost = soon("an error", outlet.publish("hop", "lost".into())).await;
            assert!(
                matches!(lost, Err(PublishError::Unconfirmed | PublishError::Unreachable)),
                "{lost:?}"
            );
            let text = format!("after {round}");
            let started = Instant::now();
            server.start();
            soon("delivery", outlet.deliver("hop", text.clone().into()))
                .await
                .unwrap();
            soon("the message", async {
                loop {
                    for delivery in inlet.next(10).await {
                        if delivery.payload == text {
                            delivery.ack();
                            return;
                        }
                    }
                }
            })
            .await;
            eprintln!("{}: back after {:?}", binary.display(), started.elapsed());
        }

        // Never acknowledged, so it comes again.
        soon("redelivery", async {
            while inlet
                .next(10)
                .await
                .iter()
                .all(|delivery| delivery.payload != first[0].payload)
            {}
        })
        .await;
    }
}

#[tokio::test]
async fn a_killed_server_with_memory_is_used_again_once_provisioned() {
    for binary in binaries() {
        let mut server = Server::new(&binary);
        server.start();
        soon(
            "provisioning",
            provision(&server.admin(), &[hop(Storage::Memory)]),
        )
        .await
        .unwrap();
        let outlet = soon("the outlet", Outlet::connect(&server.outlet()))
            .await
            .unwrap();
        let mut inlet = soon("the inlet", Inlet::connect(&server.inlet("reader", "c1")))
            .await
            .unwrap();
        soon("a confirmation", outlet.publish("hop", "gone".into()))
            .await
            .unwrap();
        assert_eq!(soon("the message", inlet.next(10)).await.len(), 1);

        server.kill();
        let reading = tokio::spawn(async move { inlet.next(10).await });
        let writing = tokio::spawn({
            let outlet = outlet.clone();
            async move { outlet.deliver("hop", "new".into()).await }
        });
        server.start();
        let started = Instant::now();
        soon(
            "provisioning",
            provision(&server.admin(), &[hop(Storage::Memory)]),
        )
        .await
        .unwrap();
        soon("delivery", writing).await.unwrap().unwrap();
        let delivered = soon("the message", reading).await.unwrap();
        assert_eq!(&delivered[0].payload[..], b"new");
        eprintln!("{}: back after {:?}", binary.display(), started.elapsed());
    }
}

#[tokio::test]
async fn what_a_silent_server_was_sent_is_unconfirmed() {
    for binary in binaries() {
        let mut server = Server::new(&binary);
        server.start();
        soon("provisioning", provision(&server.admin(), &[hop(Storage::File)]))
            .await
            .unwrap();
        let outlet = soon("the outlet", Outlet::connect(&server.outlet()))
            .await
            .unwrap();
        server.signal(Signal::STOP);
        let tickets: Vec<_> = (0..100).map(|_| outlet.publish("hop", "x".into())).collect();
        for outcome in soon("outcomes", join_all(tickets)).await {
            assert_eq!(outcome, Err(PublishError::Unconfirmed));
        }
        server.signal(Signal::CONT);
        soon("delivery", outlet.deliver("hop", "y".into())).await.unwrap();
        // It had them after all, which is why nobody may take `Unconfirmed` for `not stored`.
        assert!(server.state().await.messages > 1);
    }
}

#[tokio::test]
async fn what_was_on_its_way_to_a_killed_server_fails_at_once() {
    for binary in binaries() {
        let mut server = Server::new(&binary);
        server.start();
        soon("provisioning", provision(&server.admin(), &[hop(Storage::File)]))
            .await
            .unwrap();
        let outlet = soon("the outlet", Outlet::connect(&server.outlet()))
            .await
            .unwrap();
        server.signal(Signal::STOP);
        let ticket = outlet.publish("hop", "x".into());
        tokio::time::sleep(Duration::from_millis(50)).await;
        server.kill();
        assert_eq!(soon("an outcome", ticket).await, Err(PublishError::Unconfirmed));
    }
}
