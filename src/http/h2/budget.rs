//! How much a peer may have done that is of no use to anybody, before its connection ends.
//!
//! Frames that carry no message cost work: pings, settings, resets, empty frames. Peers send some of
//! each in good faith, so each kind has a budget that grows with time and with useful work, and only
//! what goes on at a rate that nothing explains empties it (CVE-2019-9511 to 9518, CVE-2023-44487,
//! CVE-2025-8671).

use std::time::Duration;

/// Streams that a peer may reset or have us reset, at a time: a browser that leaves a page resets a
/// hundred at once.
const RESETS_MAX: u32 = 500;

/// How many more there may be each second, and for each stream that ended well or was reset after it had lived
/// for a while.
const RESETS_PER_SECOND: u32 = 50;

/// Frames without a message, at a time.
const CONTROLS_MAX: u32 = 2000;

/// How many more there may be each second.
const CONTROLS_PER_SECOND: u32 = 500;

/// How many more there may be for each frame of a message, sent or received, and for each
/// [`CREDITED_BYTES`] of DATA that are sent: a receiver may ping for those.
const CONTROLS_PER_MESSAGE_FRAME: u32 = 4;

/// Frames with credit for each such piece of DATA: its receiver credits stream and connection.
const CREDITS_PER_PIECE: u32 = 2;

/// How many of those may still be to come: they do, late and all at once, where many small frames were waiting to
/// be read.
const CREDITS_MAX: u32 = 128 * 1024;

/// The smallest piece of a body, in bytes, that common receivers credit by itself: Go's do so for whatever their
/// application reads at a time from 4 KiB on.
pub(super) const CREDITED_BYTES: usize = 4096;

/// DATA of which many frames mean that somebody wants us to work for nothing, if they are late or their sender
/// has more to send: less than so many bytes.
pub(super) const SMALL_DATA_BYTES: usize = 64;

/// Which budget is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exhausted {
    /// That of resets.
    Resets,
    /// That of frames without a message.
    Controls,
    /// That of one header block: its bytes, or its CONTINUATION frames.
    HeaderBlock,
}

impl Exhausted {
    /// All of them, by their numbers.
    pub const ALL: [Self; 3] = [Self::Resets, Self::Controls, Self::HeaderBlock];

    /// As metrics call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resets => "resets",
            Self::Controls => "control_frames",
            Self::HeaderBlock => "header_block",
        }
    }

    /// What the peer is told, and the log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Resets => "too many streams reset within moments",
            Self::Controls => "too many frames that carry no message",
            Self::HeaderBlock => "a header block is far too long",
        }
    }
}

/// What is left of the budgets of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    resets: u32,
    controls: u32,
    /// Frames with credit that are to come for what was sent.
    credits: u32,
}

impl Default for Budgets {
    fn default() -> Self {
        Self { resets: RESETS_MAX, controls: CONTROLS_MAX, credits: 0 }
    }
}

impl Budgets {
    /// A stream was reset by the peer, or by us for what the peer did: both cost the work on it.
    pub fn spend_reset(&mut self) -> Result<(), Exhausted> {
        spend(&mut self.resets).ok_or(Exhausted::Resets)
    }

    /// A frame came that carries no message.
    pub fn spend_control(&mut self) -> Result<(), Exhausted> {
        spend(&mut self.controls).ok_or(Exhausted::Controls)
    }

    /// A frame of a message was sent or received.
    pub fn earn_frame(&mut self) {
        self.controls = (self.controls + CONTROLS_PER_MESSAGE_FRAME).min(CONTROLS_MAX);
    }

    /// A piece of DATA was sent that is credited by itself.
    pub fn earn_credit(&mut self) {
        self.earn_frame();
        self.credits = (self.credits + CREDITS_PER_PIECE).min(CREDITS_MAX);
    }

    /// A frame with credit came: for what was sent, or one that carries no message like any other.
    pub fn spend_credit(&mut self) -> Result<(), Exhausted> {
        spend(&mut self.credits).or_else(|| spend(&mut self.controls)).ok_or(Exhausted::Controls)
    }

    /// A stream ended well.
    pub fn earn_stream(&mut self) {
        self.resets = (self.resets + 1).min(RESETS_MAX);
    }

    /// Time has passed. What is less than a second is as good as nothing: it is left for the next time.
    pub fn pass(&mut self, time: Duration) {
        let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        let more = |left: u32, rate: u32, max: u32| {
            left.saturating_add(rate.saturating_mul(seconds)).min(max)
        };
        self.resets = more(self.resets, RESETS_PER_SECOND, RESETS_MAX);
        self.controls = more(self.controls, CONTROLS_PER_SECOND, CONTROLS_MAX);
    }

    /// Whether time makes a difference.
    pub fn is_spent_from(&self) -> bool {
        (self.resets, self.controls) != (RESETS_MAX, CONTROLS_MAX)
    }
}

fn spend(budget: &mut u32) -> Option<()> {
    *budget = budget.checked_sub(1)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resets(budgets: &mut Budgets) -> u32 {
        let mut count = 0;
        while budgets.spend_reset().is_ok() {
            count += 1;
        }
        count
    }

    #[test]
    fn a_budget_grows_with_time_up_to_its_maximum() {
        let mut budgets = Budgets::default();
        assert_eq!(resets(&mut budgets), RESETS_MAX);
        budgets.pass(Duration::from_millis(999));
        assert_eq!(resets(&mut budgets), 0);
        budgets.pass(Duration::from_secs(2));
        assert_eq!(resets(&mut budgets), 2 * RESETS_PER_SECOND);
        budgets.pass(Duration::MAX);
        assert_eq!(budgets.resets, RESETS_MAX);
    }

    #[test]
    fn useful_work_pays_for_what_comes_with_it() {
        let mut budgets = Budgets::default();
        for _ in 0..10 * CONTROLS_MAX {
            budgets.earn_frame();
            budgets.earn_stream();
            for _ in 0..CONTROLS_PER_MESSAGE_FRAME {
                budgets.spend_control().unwrap();
            }
            budgets.spend_reset().unwrap();
        }
        assert_eq!(budgets.controls, CONTROLS_MAX - CONTROLS_PER_MESSAGE_FRAME);
    }
}
