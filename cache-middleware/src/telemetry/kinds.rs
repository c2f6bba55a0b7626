//! Kinds of what is counted, each with its label.

/// Declares the kinds of something that is counted, each with its label.
macro_rules! kinds {
    ($(#[$meta:meta])* $visibility:vis $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $token:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        $visibility enum $name { $($(#[$variant_meta])* $variant,)+ }

        impl $name {
            /// All of them.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The label.
            #[must_use]
            $visibility const fn token(self) -> &'static str {
                match self { $(Self::$variant => $token,)+ }
            }
        }
    };
}

pub(super) use kinds;
