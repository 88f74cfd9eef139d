//! The life of the process.

use crate::{Config, Relay, Validator, Watch};
use anyhow::Context;
use postern_bus::{Inlet, Outlet, relay};
use postern_runtime::{LinkKeys, Reload, StageContext, StageResult, Status, unix_ms};

/// Runs the Response Validator until it is asked to stop.
///
/// # Errors
/// When configuration, keys, ledger or bus can't be used, and when a record can't be written.
pub async fn run(config: Config, context: StageContext) -> StageResult {
    let keys = LinkKeys::begin(&config.keys, &context)?;
    let (watch, inspector) = Watch::begin(config.answers)?;
    let validator = Validator::new(keys.keyring(), config.limits, inspector)?;
    let ledger = config.ledger.open(context.stage, context.instance, unix_ms())?;
    let outlet = Outlet::connect(&config.outlet)
        .await
        .context("the outlet can't be used")?;
    let inlet = Inlet::connect(&config.inlet)
        .await
        .context("the inlet can't be used")?;
    context
        .ready
        .announce()
        .context("the ready file can't be written")?;
    let status = Status::new(
        &config.ledger.directory,
        context.stage,
        context.instance,
        ledger.tally(),
    );
    let status = status.on_bus(inlet.watch(), outlet.watch());
    let mut step = Relay::new(validator, ledger, config.outlet.stream, unix_ms)
        .watching(watch, Reload::on_hang_up()?)
        .turning(keys);
    let work = relay::run(inlet, outlet, &mut step, context.shutdown.cancelled());
    status.beside(work).await?;
    step.close().context("the end can't be recorded")
}
