//! Read your own writes on any node: what a caller shows of the clears it has made.

use std::fmt;
use std::str::FromStr;

use super::Views;
use crate::entry::Stamp;
use crate::error::ConfigError;
use crate::policy::is_token;

/// The clocks after a caller's clears. A node that has not heard of all of them yet goes past its memory for this caller.
///
/// Its text is at most 3 KiB of hexadecimal digits and points, fit for a header or a cookie. It holds no secret: to make one up
/// costs nodes a look at the store, and shows nothing.
///
/// ```
/// # use cache_middleware::CacheManager;
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().build().await?;
/// let token = cache.clear_tag("teacher:7").await?.token().unwrap();
/// assert_eq!(token.to_string().parse(), Ok(token));
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Tells one life of the store from another, all partitions together.
    incarnations: u64,
    /// One per partition.
    clocks: Vec<u64>,
}

/// The longest text that is read.
const LONGEST: usize = 3_072;

/// The most partitions whose clocks a token has room for: a cookie has 4 KiB.
pub(crate) const MOST_PARTITIONS: u16 = 192;

/// Mixes the incarnations of all partitions into one number.
fn mixed(incarnations: impl Iterator<Item = u64>) -> u64 {
    incarnations.fold(0, |sum: u64, incarnation| sum.rotate_left(7) ^ incarnation)
}

impl Token {
    pub(crate) fn of(stamps: &[Stamp]) -> Option<Self> {
        let incarnations = mixed(stamps.iter().map(|stamp| stamp.incarnation));
        (!stamps.is_empty()).then(|| Self { incarnations, clocks: stamps.iter().map(|stamp| stamp.clock).collect() })
    }

    /// Whether a node has heard of what the token knows, as far as a partition is concerned.
    pub(crate) fn is_seen_by(&self, views: &Views, partition: u16) -> bool {
        let Some(clock) = self.clocks.get(usize::from(partition)) else { return false };
        self.incarnations == mixed(views.incarnations())
            && views.has_seen(partition, Stamp { incarnation: views.incarnation(partition), clock: *clock })
    }
}

impl fmt::Display for Token {
    /// The incarnations, the oldest clock, and for each partition how much newer its clock is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let oldest = self.clocks.iter().min().copied().unwrap_or(0);
        write!(f, "{:x}.{oldest:x}", self.incarnations)?;
        self.clocks.iter().try_for_each(|clock| write!(f, ".{:x}", clock - oldest))
    }
}

impl FromStr for Token {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let read = || -> Option<Self> {
            let mut numbers = text.split('.').map(|number| u64::from_str_radix(number, 16).ok());
            let (incarnations, oldest) = (numbers.next()??, numbers.next()??);
            let clocks = numbers.map(|number| oldest.checked_add(number?)).collect::<Option<Vec<_>>>()?;
            (!clocks.is_empty()).then_some(Self { incarnations, clocks })
        };
        let token = (text.len() <= LONGEST).then(read).flatten();
        token.ok_or_else(|| ConfigError::new("it is not a token of this cache"))
    }
}

/// How callers carry the token of their writes.
///
/// ```
/// use cache_middleware::ReadYourWrites;
///
/// let by_header = ReadYourWrites::header("x-cache-token"); // the caller sends back what it got last
/// let by_cookie = ReadYourWrites::cookie("cache_token"); // browsers do by themselves
/// assert_ne!(by_header, by_cookie);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadYourWrites {
    pub(crate) name: String,
    pub(crate) cookie: bool,
}

impl ReadYourWrites {
    /// In a header of responses, to be sent back with later requests.
    pub fn header(name: impl Into<String>) -> Self {
        Self { name: name.into().to_ascii_lowercase(), cookie: false }
    }

    /// In a cookie that lives a little longer than a clear takes to be in effect everywhere.
    pub fn cookie(name: impl Into<String>) -> Self {
        Self { name: name.into(), cookie: true }
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        if !is_token(&self.name) {
            return Err(format!(
                "{:?} is not the name of a header or cookie: it takes letters, digits, - and _",
                self.name
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_written_and_read_back() {
        let stamps =
            [Stamp { incarnation: u64::MAX, clock: 1_700_000_000_000_000 }, Stamp { incarnation: 3, clock: 7 }];
        let token = Token::of(&stamps).unwrap();
        assert_eq!(token.to_string().parse(), Ok(token));
        assert_eq!(Token::of(&[]), None);
        // The largest there may be, with clocks that are hours apart.
        let far = |n: u64| Stamp { incarnation: n, clock: 1_700_000_000_000_000 + (n % 2) * 10_000_000_000 };
        let largest = Token::of(&(0..u64::from(MOST_PARTITIONS)).map(far).collect::<Vec<_>>()).unwrap();
        assert_eq!(largest.to_string().parse(), Ok(largest));
    }

    #[test]
    fn what_is_no_token_is_none() {
        let long = "1.".repeat(1_600) + "1";
        for bad in ["", "1", "1.2", "1..3", "x.1.1", "1.ffffffffffffffff.1", "1.2.-3", &long] {
            assert!(bad.parse::<Token>().is_err(), "{bad}");
        }
    }
}
