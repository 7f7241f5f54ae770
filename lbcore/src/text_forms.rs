//! With the feature `serde`: what an embedder keeps over a restart, written as the text that it shows and read back from it.
//!
//! The values are those that name something or are given to somebody: keys, names, addresses, ranges, ports. The machines themselves are
//! not written; they are filled again from these (see [`crate::converge::replay`]).

use core::fmt::{self, Display, Formatter};
use core::marker::PhantomData;
use core::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::addresses::ServiceAddresses;
use crate::family::IpFamily;
use crate::link::MacAddr;
use crate::range::AddressRange;
use crate::service::{NodeName, PoolName, ServiceKey, SharingKey};
use crate::sharing::{Protocol, ServicePort};

/// Reads a value from its text.
struct Text<T>(PhantomData<T>);

impl<T: FromStr<Err: Display>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

macro_rules! as_text {
    ($($name:ident),* $(,)?) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Text(PhantomData))
            }
        }
    )*};
}

as_text! {
    AddressRange,
    IpFamily,
    MacAddr,
    NodeName,
    PoolName,
    Protocol,
    ServiceAddresses,
    ServiceKey,
    ServicePort,
    SharingKey,
}

#[cfg(test)]
mod tests {
    use core::fmt::Debug;

    use serde::de::IntoDeserializer;
    use serde::de::value::{Error, StrDeserializer};

    use super::*;

    /// What a value is written as; a formatter is a serializer.
    struct Written<'v, T>(&'v T);

    impl<T: Serialize> Display for Written<'_, T> {
        fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
            self.0.serialize(f)
        }
    }

    fn read<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, Error> {
        let deserializer: StrDeserializer<'de, Error> = text.into_deserializer();
        T::deserialize(deserializer)
    }

    fn survives<'de, T: Serialize + Deserialize<'de> + PartialEq + Debug>(text: &'de str) {
        let value: T = read(text).unwrap();
        assert_eq!(Written(&value).to_string(), text);
    }

    #[test]
    fn values_are_written_as_their_text_and_read_back() {
        survives::<AddressRange>("192.0.2.0/24");
        survives::<AddressRange>("2001:db8::1-2001:db8::9");
        survives::<IpFamily>("IPv4");
        survives::<IpFamily>("IPv6");
        survives::<MacAddr>("02:00:00:00:00:0a");
        survives::<NodeName>("node-1");
        survives::<PoolName>("public");
        survives::<Protocol>("SCTP");
        survives::<ServiceAddresses>("192.0.2.1");
        survives::<ServiceAddresses>("2001:db8::1, 192.0.2.1");
        survives::<ServiceKey>("shop/web");
        survives::<ServicePort>("UDP/53");
        survives::<SharingKey>("dns");
    }

    #[test]
    fn a_text_that_is_none_is_refused_with_the_reason() {
        let told = read::<ServiceKey>("web").unwrap_err().to_string();
        assert!(told.contains("NAMESPACE/NAME"), "{told}");
        assert!(read::<AddressRange>("192.0.2.9-192.0.2.1").is_err());
        assert!(read::<ServiceAddresses>("192.0.2.1, 192.0.2.2").is_err());
        assert!(read::<PoolName>("").is_err());
        assert!(read::<IpFamily>("ipv4").is_err());
        assert!(PoolName::deserialize(IntoDeserializer::<Error>::into_deserializer(7_u32)).is_err());
    }
}
