//! Header values as they were written last: of one age, or one time that is left, there are many hits in a second.

use actix_web::http::header::HeaderValue;

const PLACES: usize = 64;

/// The values of some things, each in the place that it shares with others.
pub(in crate::http) struct Written<T> {
    last: [Option<(T, HeaderValue)>; PLACES],
}

impl<T: PartialEq + Copy> Written<T> {
    pub(in crate::http) const fn nothing() -> Self {
        Self { last: [const { None }; PLACES] }
    }

    /// The value of a thing that has its place by a number; written anew if another was written there last.
    pub(in crate::http) fn get(
        &mut self,
        number: u64,
        of: T,
        write: impl FnOnce(T) -> Option<HeaderValue>,
    ) -> Option<HeaderValue> {
        let place = &mut self.last[usize::try_from(number % PLACES as u64).unwrap_or_default()];
        if let Some((_, value)) = place.as_ref().filter(|(before, _)| *before == of) {
            return Some(value.clone());
        }
        let value = write(of)?;
        *place = Some((of, value.clone()));
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_last_is_not_written_again() {
        let mut written = Written::nothing();
        let mut count = 0;
        let mut get = |number: u64| {
            let value = written.get(number, number, |number| {
                count += 1;
                Some(HeaderValue::from(number))
            });
            value.unwrap().to_str().unwrap().parse::<u64>().unwrap()
        };
        for number in [1, 1, 2, 1, 65, 1, u64::MAX, u64::MAX] {
            assert_eq!(get(number), number);
        }
        assert_eq!(count, 5, "65 and 1 share a place");
    }
}
