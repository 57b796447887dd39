//! Numbers for tables, schemas and databases: stable while the server runs, and from one start to the next.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use causeway_spi::TableName;

/// The first number that PostgreSQL gives to a user's object.
const FIRST: u32 = 16_384;
/// Numbers stay positive for clients that read them as int4.
const LAST: u32 = i32::MAX.cast_unsigned();

/// The schemas whose numbers clients know.
const KNOWN_SCHEMAS: [(u32, &str); 4] = [
    (11, "pg_catalog"),
    (2200, "public"),
    (13_162, "information_schema"),
    (13_163, "system"),
];

/// What a number stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Object {
    Table(TableName),
    Schema(String),
    Database(String),
    Role(String),
}

/// The numbers given so far. A number follows from the name, unless another object has it already.
#[derive(Debug, Default)]
pub(in crate::catalog) struct Oids(Mutex<Given>);

#[derive(Debug, Default)]
struct Given {
    numbers: HashMap<Object, u32>,
    objects: HashMap<u32, Object>,
}

impl Oids {
    /// The number of a table.
    pub(crate) fn of_table(&self, name: &TableName) -> u32 {
        self.of(Object::Table(name.clone()))
    }

    /// The number of a schema, by the name that a session sees.
    pub(crate) fn of_schema(&self, shown: &str) -> u32 {
        let known = KNOWN_SCHEMAS.iter().find(|(_, name)| *name == shown);
        known.map_or_else(|| self.of(Object::Schema(shown.to_owned())), |(oid, _)| *oid)
    }

    /// The number of a database.
    pub(crate) fn of_database(&self, name: &str) -> u32 {
        self.of(Object::Database(name.to_owned()))
    }

    /// The number of a user.
    pub(crate) fn of_role(&self, name: &str) -> u32 {
        if name == super::OWNER {
            return super::OWNER_OID;
        }
        self.of(Object::Role(name.to_owned()))
    }

    /// The table that has been given the number `oid`.
    pub(crate) fn table(&self, oid: u32) -> Option<TableName> {
        let given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match given.objects.get(&oid)? {
            Object::Table(name) => Some(name.clone()),
            _ => None,
        }
    }

    /// The schema that has been given the number `oid`.
    pub(crate) fn schema(&self, oid: u32) -> Option<String> {
        if let Some((_, name)) = KNOWN_SCHEMAS.iter().find(|(known, _)| *known == oid) {
            return Some((*name).to_owned());
        }
        let given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match given.objects.get(&oid)? {
            Object::Schema(name) => Some(name.clone()),
            _ => None,
        }
    }

    /// The user that has been given the number `oid`.
    pub(crate) fn role(&self, oid: u32) -> Option<String> {
        let given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match given.objects.get(&oid)? {
            Object::Role(name) => Some(name.clone()),
            _ => None,
        }
    }

    fn of(&self, object: Object) -> u32 {
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&oid) = given.numbers.get(&object) {
            return oid;
        }
        let mut oid = FIRST + hash(&object) % (LAST - FIRST);
        while given.objects.contains_key(&oid) {
            oid = if oid == LAST { FIRST } else { oid + 1 };
        }
        given.numbers.insert(object.clone(), oid);
        given.objects.insert(oid, object);
        oid
    }
}

/// FNV-1a: the same in every build and on every machine, unlike the standard library's hash.
fn hash(object: &Object) -> u32 {
    let parts: [&str; 4] = match object {
        Object::Table(name) => ["t", &name.catalog, &name.schema, &name.table],
        Object::Schema(name) => ["s", name, "", ""],
        Object::Database(name) => ["d", name, "", ""],
        Object::Role(name) => ["r", name, "", ""],
    };
    let bytes = parts
        .iter()
        .flat_map(|part| part.bytes().chain(std::iter::once(0)));
    bytes.fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_stable_and_lead_back() {
        let (one, other) = (Oids::default(), Oids::default());
        let name = TableName::new("lake", "public", "orders");
        let oid = one.of_table(&name);
        assert_eq!(oid, 599_008_188);
        assert_eq!(oid, other.of_table(&name));
        assert_eq!(one.table(oid), Some(name));
        assert_eq!(one.table(oid + 1), None);
        assert_ne!(one.of_schema("a"), one.of_database("a"));
        assert_eq!(one.of_schema("public"), 2200);
    }

    #[test]
    fn ten_thousand_tables_have_ten_thousand_numbers() {
        let oids = Oids::default();
        let numbers: std::collections::HashSet<u32> = (0..10_000)
            .map(|index| oids.of_table(&TableName::new("c", "s", format!("t{index}"))))
            .collect();
        assert_eq!(numbers.len(), 10_000);
        assert!(numbers.iter().all(|oid| (FIRST..=LAST).contains(oid)));
    }
}
