//! How long to measure what.

/// The default of PgBouncer and of the Backend.
const POOL_SIZE: u32 = 40;

/// Lengths and numbers of rounds, and sizes.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Connections to PostgreSQL that PgBouncer and the Backend keep each.
    pub(crate) pool_size: u32,
    /// Rounds of the main measurements; every one visits every place.
    pub(crate) rounds: u32,
    /// Seconds of one pgbench run.
    pub(crate) round_s: u32,
    /// Rounds of pgbench's other protocol modes.
    pub(crate) more_modes_rounds: u32,
    /// Seconds of one pgbench run in those.
    pub(crate) more_modes_s: u32,
    /// Rounds of TPC-B.
    pub(crate) tpcb_rounds: u32,
    /// Seconds of one run of TPC-B.
    pub(crate) tpcb_s: u32,
    /// Seconds of the echo with one client, and with 32; it does both twice.
    pub(crate) echo_s: u32,
    /// Megabytes (10^6 bytes) of one bulk transfer.
    pub(crate) bulk_mb: u32,
    /// Rounds of bulk transfers.
    pub(crate) bulk_rounds: u32,
}

impl Plan {
    /// Under 6 minutes on two cores.
    pub(crate) fn full() -> Plan {
        Plan {
            pool_size: POOL_SIZE,
            rounds: 3,
            round_s: 4,
            more_modes_rounds: 2,
            more_modes_s: 2,
            tpcb_rounds: 2,
            tpcb_s: 4,
            echo_s: 2,
            bulk_mb: 500,
            bulk_rounds: 2,
        }
    }

    /// Under 90 seconds.
    pub(crate) fn quick() -> Plan {
        Plan {
            pool_size: POOL_SIZE,
            rounds: 1,
            round_s: 3,
            more_modes_rounds: 1,
            more_modes_s: 2,
            tpcb_rounds: 1,
            tpcb_s: 2,
            echo_s: 1,
            bulk_mb: 100,
            bulk_rounds: 1,
        }
    }
}
