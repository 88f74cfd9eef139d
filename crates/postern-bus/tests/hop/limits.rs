use crate::server::{Server, binaries, hop, soon};
use bytes::Bytes;
use futures_util::future::join_all;
use postern_bus::provision::{Storage, provision};
use postern_bus::{DRAIN_BYTES, Inlet, MAX_MESSAGE_BYTES, Outlet, PublishError};

#[tokio::test]
async fn all_that_is_ready_comes_at_once_and_only_acknowledged_messages_go() {
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
        let tickets: Vec<_> = (0..2000)
            .map(|n| outlet.publish("hop", format!("{n}").into()))
            .collect();
        for confirmed in soon("confirmations", join_all(tickets)).await {
            confirmed.unwrap();
        }

        let mut seen = Vec::new();
        let mut sets = 0;
        let mut kept = None;
        while seen.len() < 2000 {
            let drained = soon("messages", inlet.next(300)).await;
            assert!((1..=300).contains(&drained.len()));
            sets += 1;
            for delivery in drained {
                let number: u32 = std::str::from_utf8(&delivery.payload).unwrap().parse().unwrap();
                seen.push(number);
                if number == 77 {
                    kept = Some(delivery);
                } else {
                    delivery.ack();
                }
            }
        }
        assert_eq!(seen, (0..2000).collect::<Vec<_>>());
        assert!(sets < 1000, "{sets} drains for 2000 messages that were all there");

        drop(kept);
        let again = soon("the message that was not acknowledged", inlet.next(300)).await;
        assert_eq!(again.len(), 1);
        assert_eq!(&again[0].payload[..], b"77");
        again[0].ack();
        // The newest acknowledgement is held back until the inlet is idle or told to flush.
        inlet.flush().await;
        soon("an empty stream", async {
            while server.state().await.messages != 0 {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn sets_are_bounded_in_bytes_and_large_messages_pass() {
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
        let sizes = [10, MAX_MESSAGE_BYTES, 10, 700_000, 700_000, 5_000_000, 10, 10];
        for size in sizes {
            soon(
                "a confirmation",
                outlet.publish("hop", Bytes::from(vec![0; size])),
            )
            .await
            .unwrap();
        }
        let mut seen = Vec::new();
        while seen.len() < sizes.len() {
            let drained = soon("messages", inlet.next(100)).await;
            let bytes: usize = drained.iter().map(|delivery| delivery.payload.len()).sum();
            assert!(
                drained.len() == 1 || bytes <= DRAIN_BYTES,
                "{} messages of {bytes} bytes",
                drained.len()
            );
            for delivery in drained {
                seen.push(delivery.payload.len());
                delivery.ack();
            }
        }
        assert_eq!(seen, sizes);
    }
}

#[tokio::test]
async fn a_full_stream_and_impossible_messages_are_told_apart() {
    for binary in binaries() {
        let mut server = Server::new(&binary);
        server.start();
        let mut spec = hop(Storage::File);
        spec.max_bytes = 10_000;
        soon("provisioning", provision(&server.admin(), &[spec]))
            .await
            .unwrap();
        let outlet = soon("the outlet", Outlet::connect(&server.outlet()))
            .await
            .unwrap();
        soon("a confirmation", outlet.publish("hop", vec![0; 6000].into()))
            .await
            .unwrap();
        let full = soon("an answer", outlet.publish("hop", vec![0; 6000].into())).await;
        assert_eq!(full, Err(PublishError::Full));

        let large = soon(
            "an answer",
            outlet.publish("hop", vec![0; MAX_MESSAGE_BYTES + 1].into()),
        )
        .await;
        assert_eq!(large, Err(PublishError::Impossible));
        let elsewhere = soon("an answer", outlet.publish("hopper", "x".into())).await;
        assert_eq!(elsewhere, Err(PublishError::Impossible));

        // Room again as soon as the first is taken away.
        let mut inlet = soon("the inlet", Inlet::connect(&server.inlet("reader", "c1")))
            .await
            .unwrap();
        let delivering = outlet.deliver("hop", vec![1; 6000].into());
        let taking = async {
            inlet.next(1).await[0].ack();
            assert_eq!(inlet.next(1).await[0].payload[0], 1);
        };
        soon("room", async { tokio::join!(delivering, taking) })
            .await
            .0
            .unwrap();
    }
}
