use crate::server::{Server, binaries, hop, soon};
use async_nats::jetstream;
use postern_bus::provision::{ConsumerSpec, ProvisionError, Storage, provision, server_version};
use postern_bus::{Inlet, Outlet};

#[tokio::test]
async fn twice_is_once_and_differences_are_adjusted() {
    for binary in binaries() {
        let mut server = Server::new(&binary);
        server.start();
        let mut spec = hop(Storage::File);
        for _ in 0..2 {
            soon("provisioning", provision(&server.admin(), &[spec.clone()]))
                .await
                .unwrap();
        }

        spec.max_bytes = 4096;
        spec.consumers[1] = ConsumerSpec {
            name: "c3".into(),
            filter: "hop.two".into(),
        };
        soon("provisioning", provision(&server.admin(), &[spec.clone()]))
            .await
            .unwrap();
        let context = jetstream::new(server.raw("admin").await);
        let stream = context.get_stream("hop").await.unwrap();
        let config = stream.get_info().await.unwrap().config;
        assert_eq!(config.max_bytes, 4096);
        assert_eq!(config.retention, jetstream::stream::RetentionPolicy::WorkQueue);
        assert_eq!(config.discard, jetstream::stream::DiscardPolicy::New);
        assert!(
            stream.consumer_info("c2").await.is_err(),
            "a consumer outside the specification stayed"
        );
        let consumer = stream.consumer_info("c3").await.unwrap().config;
        assert_eq!(consumer.filter_subject, "hop.two");
        assert_eq!(consumer.ack_wait, postern_bus::provision::ACK_WAIT);
        assert_eq!(consumer.max_deliver, -1);

        spec.storage = Storage::Memory;
        let refused = soon("provisioning", provision(&server.admin(), &[spec])).await;
        assert!(
            matches!(refused, Err(ProvisionError::Refused { .. })),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn the_version_is_the_one_the_binary_tells() {
    for binary in binaries() {
        let mut server = Server::new(&binary);
        server.start();
        let told = std::process::Command::new(&binary)
            .arg("--version")
            .output()
            .unwrap()
            .stdout;
        let version = soon("the version", server_version(&server.admin()))
            .await
            .unwrap()
            .unwrap();
        assert!(
            String::from_utf8(told)
                .unwrap()
                .trim()
                .ends_with(&format!("v{version}"))
        );
    }
}

#[tokio::test]
async fn connecting_waits_for_server_and_stream() {
    for binary in binaries() {
        let mut server = Server::new(&binary);
        let (inlet, outlet) = (server.inlet("reader", "c1"), server.outlet());
        let reading = tokio::spawn(async move { Inlet::connect(&inlet).await.unwrap().next(1).await });
        let writing = tokio::spawn(async move {
            Outlet::connect(&outlet)
                .await
                .unwrap()
                .deliver("hop", "early".into())
                .await
                .unwrap();
        });
        // Both fail to connect at first, then find no stream.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        server.start();
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        soon("provisioning", provision(&server.admin(), &[hop(Storage::File)]))
            .await
            .unwrap();
        soon("the outlet", writing).await.unwrap();
        let delivered = soon("the inlet", reading).await.unwrap();
        assert_eq!(delivered.len(), 1);
        assert_eq!(&delivered[0].payload[..], b"early");
    }
}
