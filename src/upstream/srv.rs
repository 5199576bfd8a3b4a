//! SRV records (RFC 2782) as endpoints: which are primary, and what share each has.

use std::num::NonZeroU16;

use super::endpoint::EndpointRole;

/// The largest weight of an endpoint.
const WEIGHT_MAX: u64 = 1000;

/// What an SRV record says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SrvRecord {
    /// Those of the smallest number are used first.
    pub priority: u16,
    /// The host, without the dot at its end; empty where the service is not offered at all.
    pub target: Box<str>,
    /// The port.
    pub port: u16,
    /// The share among those of the same priority.
    pub weight: u16,
}

/// Orders the records and gives each its role and weight: those of the smallest priority number are primary, all
/// others are backups. Weights are scaled to 1–1000 among those of a role, each in proportion; 0 is as little as
/// possible beside others, and an equal share if all are 0.
pub fn ranked(mut records: Vec<SrvRecord>) -> Vec<(SrvRecord, EndpointRole, NonZeroU16)> {
    // No target: the service is decidedly not available (RFC 2782).
    records.retain(|record| !record.target.is_empty());
    records.sort_unstable();
    records.dedup_by(|one, other| one.target == other.target && one.port == other.port);
    let first = records.first().map_or(0, |record| record.priority);
    let (primary, backup): (Vec<_>, Vec<_>) =
        records.into_iter().partition(|record| record.priority == first);
    let mut ranked = Vec::new();
    for (group, role) in [(primary, EndpointRole::Primary), (backup, EndpointRole::Backup)] {
        let weights: Vec<u16> = group.iter().map(|record| record.weight).collect();
        ranked.extend(
            group.into_iter().zip(scaled(&weights)).map(|(record, weight)| (record, role, weight)),
        );
    }
    ranked
}

fn scaled(weights: &[u16]) -> Vec<NonZeroU16> {
    let most = u64::from(weights.iter().copied().max().unwrap_or(0)).max(1);
    let scale = |weight: u16| {
        let weight = u64::from(weight);
        let scaled = if most > WEIGHT_MAX {
            (weight * WEIGHT_MAX + most / 2) / most
        } else if weights.contains(&0) {
            weight * (WEIGHT_MAX / most)
        } else {
            weight
        };
        u16::try_from(scaled).ok().and_then(NonZeroU16::new).unwrap_or(NonZeroU16::MIN)
    };
    weights.iter().map(|weight| scale(*weight)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(priority: u16, weight: u16, target: &str) -> SrvRecord {
        SrvRecord { priority, target: target.into(), port: 80, weight }
    }

    #[test]
    fn weights_are_scaled_in_proportion() {
        let rows: [(&[u16], &[u16]); 7] = [
            (&[0, 0, 0], &[1, 1, 1]),
            (&[1, 3], &[1, 3]),
            (&[10, 20, 0], &[500, 1000, 1]),
            (&[65535, 65535], &[1000, 1000]),
            (&[65535, 6554, 1], &[1000, 100, 1]),
            (&[2000, 1000, 0], &[1000, 500, 1]),
            (&[], &[]),
        ];
        for (weights, expected) in rows {
            let scaled: Vec<u16> = scaled(weights).into_iter().map(NonZeroU16::get).collect();
            assert_eq!(scaled, expected, "{weights:?}");
        }
    }

    #[test]
    fn the_smallest_priority_number_is_primary_and_all_others_are_backups() {
        let records =
            vec![record(30, 5, "d"), record(10, 0, "b"), record(20, 10, "c"), record(10, 0, "a")];
        let ranked = ranked(records);
        let shown: Vec<_> = ranked
            .iter()
            .map(|(record, role, weight)| (&*record.target, *role, weight.get()))
            .collect();
        let (primary, backup) = (EndpointRole::Primary, EndpointRole::Backup);
        assert_eq!(
            shown,
            [("a", primary, 1), ("b", primary, 1), ("c", backup, 10), ("d", backup, 5)]
        );
    }

    #[test]
    fn a_service_that_is_not_offered_has_no_endpoints_and_one_named_twice_counts_once() {
        assert!(ranked(vec![record(0, 0, "")]).is_empty());
        assert_eq!(ranked(vec![record(1, 2, "a"), record(1, 1, "a"), record(2, 1, "a")]).len(), 1);
    }
}
