//! Who may come in at all: networks, how often an address connects, how many wait to sign in. Free of I/O; time is
//! given. Asked before anything of a connection is read.

use lru::LruCache;
use postern_types::{Bucket, Network, Rate, Refusal, SqlState};
use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroUsize;

/// Addresses whose rate is remembered; beyond, the one not seen for longest is forgotten.
const ADDRESSES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(16_383);
/// An IPv6 host has a whole network of this size to choose its address from, so that counts as one address.
const V6_HOST_PREFIX: u8 = 64;
/// Who is turned away is told why so often, all addresses together; beyond, connections are closed without a word,
/// because to answer is what a flood wants.
const TOLD: Rate = Rate {
    per_s: 10,
    burst: 100,
};
/// So many are told at the same time.
const TELLING: usize = 32;

/// What the door goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Networks that clients may come from.
    pub networks: Vec<Network>,
    /// Connections of one address.
    pub rate: Rate,
    /// Connections that have not signed in.
    pub waiting: usize,
    /// ... of one address.
    pub waiting_of_address: usize,
}

/// Why a connection is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// It is from nowhere that clients may come from.
    Network,
    /// Its address connects too often.
    Rate,
    /// Too many have not signed in yet.
    Waiting,
}

impl Turned {
    /// As records have it.
    pub fn name(self) -> &'static str {
        match self {
            Turned::Network => "client-network",
            Turned::Rate => "connection-rate",
            Turned::Waiting => "connections-before-sign-in",
        }
    }

    /// What the client is told.
    pub fn refusal(self) -> Refusal {
        match self {
            Turned::Network => Refusal::fatal(
                SqlState::INVALID_AUTHORIZATION,
                "connections from this network are not allowed; ask your administrator",
            ),
            Turned::Rate => Refusal::fatal(
                SqlState::TOO_MANY_CONNECTIONS,
                "this address connects too often; keep connections open, or try again in a moment",
            ),
            Turned::Waiting => Refusal::fatal(
                SqlState::TOO_MANY_CONNECTIONS,
                "too many connections are signing in; try again in a moment",
            ),
        }
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Door {
    rules: Rules,
    rates: LruCache<Network, Bucket>,
    waiting: usize,
    waiting_by_address: HashMap<Network, usize>,
    told: Bucket,
    telling: usize,
}

/// What counts as one address.
fn host(address: IpAddr) -> Network {
    match address {
        IpAddr::V4(_) => Network::around(address, 32),
        IpAddr::V6(_) => Network::around(address, V6_HOST_PREFIX),
    }
}

impl Door {
    /// Nobody has come yet.
    pub fn new(rules: Rules, now_ms: u64) -> Door {
        Door {
            rules,
            rates: LruCache::new(ADDRESSES),
            waiting: 0,
            waiting_by_address: HashMap::new(),
            told: Bucket::full(TOLD, now_ms),
            telling: 0,
        }
    }

    /// Lets a connection in, to be counted until [`Door::leave`].
    ///
    /// # Errors
    /// Why not; it is not counted then.
    pub fn enter(&mut self, address: IpAddr, now_ms: u64) -> Result<(), Turned> {
        if !self
            .rules
            .networks
            .iter()
            .any(|network| network.contains(address))
        {
            return Err(Turned::Network);
        }
        let host = host(address);
        let rate = self.rules.rate;
        let bucket = self.rates.get_or_insert_mut(host, || Bucket::full(rate, now_ms));
        if !bucket.take(rate, now_ms) {
            return Err(Turned::Rate);
        }
        let of_address = self.waiting_by_address.get(&host).copied().unwrap_or(0);
        if self.waiting >= self.rules.waiting || of_address >= self.rules.waiting_of_address {
            return Err(Turned::Waiting);
        }
        self.waiting = self.waiting.saturating_add(1);
        self.waiting_by_address.insert(host, of_address.saturating_add(1));
        Ok(())
    }

    /// A connection has signed in or is gone.
    pub fn leave(&mut self, address: IpAddr) {
        self.waiting = self.waiting.saturating_sub(1);
        let host = host(address);
        if let Some(count) = self.waiting_by_address.get_mut(&host) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.waiting_by_address.remove(&host);
            }
        }
    }

    /// Whether one that was turned away may be told why. If so, call [`Door::told`] afterwards.
    pub fn may_tell(&mut self, now_ms: u64) -> bool {
        let may = self.telling < TELLING && self.told.take(TOLD, now_ms);
        if may {
            self.telling = self.telling.saturating_add(1);
        }
        may
    }

    /// See [`Door::may_tell`].
    pub fn told(&mut self) {
        self.telling = self.telling.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rules() -> Rules {
        Rules {
            networks: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
            rate: Rate { per_s: 10, burst: 5 },
            waiting: 3,
            waiting_of_address: 2,
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_can_not_take_all_places() {
        let (a, b) = (ip("10.0.0.1"), ip("10.0.0.2"));
        let mut door = Door::new(rules(), 0);
        assert_eq!(door.enter(a, 0), Ok(()));
        assert_eq!(door.enter(a, 0), Ok(()));
        assert_eq!(door.enter(a, 0), Err(Turned::Waiting));
        assert_eq!(door.enter(b, 0), Ok(()));
        assert_eq!(door.enter(b, 0), Err(Turned::Waiting));
        door.leave(a);
        assert_eq!(door.enter(b, 0), Ok(()));
        door.leave(a);
        door.leave(b);
        door.leave(b);
        assert!(door.waiting_by_address.is_empty() && door.waiting == 0);
    }

    #[test]
    fn other_networks_stay_outside_and_cost_nothing() {
        let mut door = Door::new(rules(), 0);
        for stranger in ["11.0.0.1", "::1", "2001:db9::1"] {
            assert_eq!(door.enter(ip(stranger), 0), Err(Turned::Network), "{stranger}");
        }
        assert!(door.rates.is_empty() && door.waiting_by_address.is_empty());
        assert_eq!(door.enter(ip("2001:db8::1"), 0), Ok(()));
    }

    #[test]
    fn an_address_is_slowed_and_others_are_not() {
        let mut door = Door::new(rules(), 0);
        let mut come = |address: &str, now| {
            let entered = door.enter(ip(address), now);
            if entered.is_ok() {
                door.leave(ip(address));
            }
            entered
        };
        for _ in 0..5 {
            assert_eq!(come("10.0.0.1", 0), Ok(()));
        }
        assert_eq!(come("10.0.0.1", 99), Err(Turned::Rate));
        assert_eq!(come("10.0.0.2", 99), Ok(()));
        assert_eq!(come("10.0.0.1", 100), Ok(()));
        // All addresses of a /64 are one host.
        for n in 1..=5 {
            assert_eq!(come(&format!("2001:db8::{n}"), 0), Ok(()));
        }
        assert_eq!(come("2001:db8::6", 0), Err(Turned::Rate));
        assert_eq!(come("2001:db8:0:1::6", 0), Ok(()));
    }

    #[test]
    fn a_flood_is_not_answered() {
        let mut door = Door::new(rules(), 0);
        let told = (0..10_000).filter(|_| door.may_tell(0)).count();
        assert_eq!(told, TELLING);
        let mut all = told;
        for now in 0..1_000 {
            for _ in 0..20 {
                if door.may_tell(now) {
                    all += 1;
                    door.told();
                }
            }
            while door.telling > 0 {
                door.told();
            }
        }
        assert!(all <= 110, "{all}");
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let rules = Rules {
            networks: Network::EVERYWHERE.to_vec(),
            waiting: usize::MAX,
            ..rules()
        };
        let mut door = Door::new(rules, 0);
        for n in 0..100_000u32 {
            let address = IpAddr::from(n.to_be_bytes());
            assert_eq!(door.enter(address, 0), Ok(()));
            door.leave(address);
        }
        assert_eq!(door.rates.len(), ADDRESSES.get());
        assert!(door.waiting_by_address.is_empty());
    }

    proptest! {
        /// Whoever comes and goes, the counts are those of who is inside.
        #[test]
        fn the_counts_are_true(steps in prop::collection::vec((any::<bool>(), 0u8..4, 0u64..50), 0..300)) {
            let mut door = Door::new(rules(), 0);
            let mut inside: Vec<IpAddr> = Vec::new();
            let mut now = 0;
            for (comes, last, pause) in steps {
                now += pause;
                let address = IpAddr::from([10, 0, 0, last]);
                if comes {
                    let of_address = inside.iter().filter(|other| **other == address).count();
                    if door.enter(address, now).is_ok() {
                        prop_assert!(inside.len() < 3 && of_address < 2);
                        inside.push(address);
                    }
                } else if let Some(place) = inside.iter().position(|other| *other == address) {
                    inside.remove(place);
                    door.leave(address);
                }
                prop_assert_eq!(door.waiting, inside.len());
                prop_assert_eq!(door.waiting_by_address.values().sum::<usize>(), inside.len());
            }
        }
    }
}
