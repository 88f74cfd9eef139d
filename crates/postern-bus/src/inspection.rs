//! Whether the streams of a server are as they should be. Nothing is changed.

use crate::provision::{Admin, ProvisionError, StreamSpec, consumer_config, refused, stream_config, within};
use async_nats::jetstream;
use async_nats::jetstream::consumer::AckPolicy;
use async_nats::jetstream::stream::Config;
use futures_util::TryStreamExt as _;

/// What of a server's streams and consumers is otherwise than `spec` says; empty when all is as it should be.
///
/// # Errors
/// See [`ProvisionError`].
pub async fn differences(admin: &Admin, spec: &StreamSpec) -> Result<Vec<String>, ProvisionError> {
    within(admin, async |connection| {
        let context = jetstream::new(connection.client);
        let names: Vec<String> = context
            .stream_names()
            .try_collect()
            .await
            .map_err(refused("list the streams".to_owned()))?;
        let mut found: Vec<String> = names
            .iter()
            .filter(|name| **name != spec.name)
            .map(|name| format!("there is a stream {name} that nobody asked for"))
            .collect();
        if !names.contains(&spec.name) {
            found.push(format!("stream {} is missing", spec.name));
            return Ok(found);
        }
        let mut stream = context
            .get_stream(&spec.name)
            .await
            .map_err(refused(format!("show stream `{}`", spec.name)))?;
        let info = stream
            .info()
            .await
            .map_err(refused(format!("show stream `{}`", spec.name)))?;
        of_stream(&info.config, &stream_config(spec), &mut found);
        let consumers: Vec<_> = stream
            .consumers()
            .try_collect()
            .await
            .map_err(refused(format!("list the consumers of `{}`", spec.name)))?;
        for consumer in &consumers {
            if spec.consumers.iter().all(|wanted| wanted.name != consumer.name) {
                found.push(format!(
                    "there is a consumer {} that nobody asked for",
                    consumer.name
                ));
            }
        }
        for wanted in &spec.consumers {
            let Some(there) = consumers.iter().find(|there| there.name == wanted.name) else {
                found.push(format!("consumer {} is missing", wanted.name));
                continue;
            };
            let expected = consumer_config(wanted);
            let same = there.config.filter_subject == expected.filter_subject
                && there.config.ack_policy == AckPolicy::Explicit
                && there.config.ack_wait == expected.ack_wait
                && there.config.deliver_subject.is_none();
            if !same {
                found.push(format!("consumer {} is set up otherwise", wanted.name));
            }
        }
        Ok(found)
    })
    .await
}

fn of_stream(is: &Config, wanted: &Config, found: &mut Vec<String>) {
    let mut wrong = |differs: bool, what: &str| {
        if differs {
            found.push(format!("stream {}: {what}", wanted.name));
        }
    };
    wrong(is.subjects != wanted.subjects, "it takes other subjects");
    wrong(
        is.retention != wanted.retention,
        "messages do not go when they are read",
    );
    wrong(
        is.discard != wanted.discard,
        "a full stream drops old messages instead of refusing new ones",
    );
    wrong(is.storage != wanted.storage, "it is stored otherwise");
    wrong(is.max_bytes != wanted.max_bytes, "its bound in bytes is another");
    wrong(is.max_age != wanted.max_age, "its messages live another time");
    wrong(!is.deny_delete, "messages can be deleted from it");
    wrong(!is.deny_purge, "it can be purged");
    wrong(is.mirror.is_some(), "it mirrors another stream");
    wrong(
        is.sources.as_ref().is_some_and(|sources| !sources.is_empty()),
        "it draws on other streams",
    );
    wrong(is.republish.is_some(), "its messages are published once more");
}
