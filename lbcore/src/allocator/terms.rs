//! The terms on which Services hold addresses, as small numbers: most Services of a cluster have the same ones.
//!
//! Invariants: an entry with users is in the table under the hash of its terms, and no other entry has equal terms; one without users is
//! listed as vacant.

use std::hash::BuildHasher;

use crate::hash::FixedState;
use crate::sharing::SharingTerms;

use super::key_table::KeyTable;

/// Place of terms in the table.
pub(super) type TermsNumber = u32;

#[derive(Clone, Debug, Default)]
struct Entry {
    terms: SharingTerms,
    users: u32,
}

/// All terms in use.
#[derive(Clone, Debug, Default)]
pub(super) struct TermsTable {
    by_terms: KeyTable,
    entries: Vec<Entry>,
    vacant: Vec<TermsNumber>,
    /// What was asked for last: mostly it is asked for again, and then nothing is hashed.
    latest: TermsNumber,
}

impl TermsTable {
    /// The number of these terms for one more user.
    pub(super) fn take(&mut self, terms: &SharingTerms) -> TermsNumber {
        let number = if self.has(self.latest, terms) { self.latest } else { self.find_or_enter(terms) };
        self.latest = number;
        if let Some(entry) = self.entries.get_mut(number as usize) {
            entry.users += 1;
        }
        number
    }

    fn has(&self, number: TermsNumber, terms: &SharingTerms) -> bool {
        self.entries.get(number as usize).is_some_and(|entry| entry.users > 0 && entry.terms == *terms)
    }

    fn find_or_enter(&mut self, terms: &SharingTerms) -> TermsNumber {
        let hash = hash(terms);
        if let Some(number) = self.by_terms.find(hash, |number| self.has(number, terms)) {
            return number;
        }
        let number = self.vacant.pop().unwrap_or_else(|| {
            self.entries.push(Entry::default());
            TermsNumber::try_from(self.entries.len() - 1).expect("fewer than 2^32 Services fit into memory")
        });
        if let Some(entry) = self.entries.get_mut(number as usize) {
            entry.terms = terms.clone();
        }
        self.by_terms.insert(hash, number);
        number
    }

    /// Ends the use of a number by one who took it; gives the terms.
    pub(super) fn give_back(&mut self, number: TermsNumber) -> SharingTerms {
        let entry = self.entries.get_mut(number as usize).expect("a number that was taken has an entry");
        entry.users -= 1;
        if entry.users > 0 {
            return entry.terms.clone();
        }
        let terms = core::mem::take(&mut entry.terms);
        self.by_terms.remove(hash(&terms), |other| other == number);
        self.vacant.push(number);
        terms
    }

    /// The terms of a number that was taken.
    pub(super) fn get(&self, number: TermsNumber) -> &SharingTerms {
        &self.entries.get(number as usize).expect("a number that was taken has an entry").terms
    }
}

fn hash(terms: &SharingTerms) -> u64 {
    FixedState::default().hash_one(terms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sharing::{Protocol, ServicePort};

    fn terms(port: u16) -> SharingTerms {
        let ports = [ServicePort { protocol: Protocol::Tcp, port }].into_iter().collect();
        SharingTerms { ports, ..SharingTerms::default() }
    }

    #[test]
    fn equal_terms_have_one_number_until_their_last_user_is_gone() {
        let mut table = TermsTable::default();
        let (web, dns) = (table.take(&terms(80)), table.take(&terms(53)));
        assert_ne!(web, dns);
        assert_eq!(table.take(&terms(80)), web);
        assert_eq!(table.give_back(web), terms(80));
        assert_eq!(table.get(web), &terms(80));
        assert_eq!(table.take(&terms(80)), web);
        assert_eq!((table.give_back(web), table.give_back(web)), (terms(80), terms(80)));
        // Its place is the next one's, and nothing finds the old terms there.
        assert_eq!(table.take(&terms(443)), web);
        assert_ne!(table.take(&terms(80)), web);
        assert_eq!(table.get(dns), &terms(53));
    }

    // [ALLOC-51]
    #[test]
    fn no_more_entries_are_kept_than_there_were_terms_at_one_time() {
        let mut table = TermsTable::default();
        for port in 1..1000 {
            let number = table.take(&terms(port));
            assert_eq!(table.give_back(number), terms(port));
        }
        assert_eq!((table.entries.len(), table.by_terms.len()), (1, 0));
    }
}
