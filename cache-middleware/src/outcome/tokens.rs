//! Words that the program writes, each with the token that it is written as.

/// Defines an enum whose values are written as tokens: in `Cache-Status`, metrics, logs and JSON.
macro_rules! tokens {
    ($(#[$meta:meta])* $visibility:vis $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $token:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        $visibility enum $name { $($(#[$variant_meta])* $variant,)+ }

        impl $name {
            /// Every one, in the order in which they are declared.
            $visibility const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The token that it is written as.
            #[must_use]
            $visibility const fn token(self) -> &'static str {
                match self { $(Self::$variant => $token,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.token())
            }
        }
    };
}

pub(crate) use tokens;
