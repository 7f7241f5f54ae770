//! Names of Services, nodes and pools, and what one Service asks for, already parsed.

use core::fmt;
use core::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

/// A name that came empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a name must not be empty")]
pub struct EmptyName;

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a name.
            ///
            /// # Errors
            /// [`EmptyName`] for the empty text.
            pub fn new(name: impl Into<Arc<str>>) -> Result<Self, EmptyName> {
                let name = name.into();
                if name.is_empty() { Err(EmptyName) } else { Ok(Self(name)) }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = EmptyName;

            fn from_str(text: &str) -> Result<Self, EmptyName> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    };
}

name_type! {
    /// Name of a node; what the election hashes ([L2-4]).
    NodeName
}
name_type! {
    /// Name of an address pool: `metadata.name` of an IPAddressPool ([API-POOL-1]).
    PoolName
}
name_type! {
    /// The value of the annotation `metallb.io/allow-shared-ip`, never empty ([ANNOT-3], [ANNOT-7]).
    SharingKey
}

/// A text that is not `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is not a Service key: write NAMESPACE/NAME")]
pub struct ParseServiceKeyError {
    /// What was given.
    pub text: String,
}

/// Namespace and name of a Service; written `namespace/name`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey {
    /// `namespace/name` as one text; no slash in the namespace.
    text: Arc<str>,
}

impl ServiceKey {
    /// Joins a namespace and a name, neither of them empty nor with a slash in the namespace.
    ///
    /// # Errors
    /// [`ParseServiceKeyError`] where one is empty or the namespace holds a slash.
    pub fn new(namespace: &str, name: &str) -> Result<Self, ParseServiceKeyError> {
        let text = format!("{namespace}/{name}");
        if namespace.is_empty() || name.is_empty() || namespace.contains('/') {
            return Err(ParseServiceKeyError { text });
        }
        Ok(Self { text: text.into() })
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        self.text.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// The name within the namespace.
    pub fn name(&self) -> &str {
        self.text.split_once('/').map_or("", |(_, name)| name)
    }

    /// `namespace/name`.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for ServiceKey {
    type Err = ParseServiceKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((namespace, name)) = text.split_once('/') else {
            return Err(ParseServiceKeyError { text: text.to_owned() });
        };
        Self::new(namespace, name)
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}
