//! Options that fit together, and those that do not.

use super::*;

fn define(toml: &str) -> Result<TableDefinition, Vec<String>> {
    let options: TableOptions = toml::from_str(toml).map_err(|error| vec![error.message().to_owned()])?;
    let defined = options.define(TableName::new("c", "public", "t"));
    defined.map_err(|problems| {
        problems
            .iter()
            .map(|problem| problem.message().to_owned())
            .collect()
    })
}

fn table(value: &str, columns: &str, more: &str) -> Result<TableDefinition, Vec<String>> {
    define(&format!(
        "name = \"t\"\nkey = \"t:{{id}}\"\nvalue = \"{value}\"\ncolumns = [\"id int\", {columns}]\n{more}"
    ))
}

fn places(definition: &TableDefinition) -> Vec<Place> {
    let columns = definition.columns()[1..].iter();
    columns.map(|column| column.place.clone()).collect()
}

#[test]
fn columns_have_places() {
    let field = |name: &str| Place::Field(name.to_owned());
    let path = |text: &str| Place::Path(JsonPath::parse(text).unwrap());
    let hash = "\"a text\", { name = \"b\", type = \"int\", field = \"B b\" }";
    assert_eq!(
        places(&table("hash", hash, "").unwrap()),
        [field("a"), field("B b")]
    );
    let json = "\"a.b text\", { name = \"b\", type = \"int\", path = \"$.x[0]\" }";
    let json = table("json", json, "hidden = [\"_ttl\", \"_key\"]").unwrap();
    assert_eq!(
        places(&json),
        [path("$['a.b']"), path("$.x[0]"), Place::Ttl, Place::Key]
    );
    assert_eq!(json.schema().field(3).name(), "_ttl");
    assert_eq!(
        places(&table("string", "\"hits bigint\"", "").unwrap()),
        [Place::Value]
    );
    let zset = "{ name = \"player\", type = \"text\", field = \"element\" }, \"score double\"";
    assert_eq!(
        places(&table("zset", zset, "").unwrap()),
        [field("element"), field("score")]
    );
    let list = table("list", "\"position bigint\", \"element json\"", "").unwrap();
    assert_eq!(places(&list), [field("position"), field("element")]);
    assert_eq!(list.format(), ValueFormat::List);
}

#[test]
fn what_does_not_fit_is_named() {
    for (value, columns, more, part) in [
        ("jsonb", "", "", "unknown variant `jsonb`"),
        ("hash", "7", "", "a column such as"),
        ("hash", "{ name = \"a\" }", "", "missing field `type`"),
        (
            "hash",
            "{ name = \"a\", type = \"text\", json = \"$\" }",
            "",
            "unknown field `json`",
        ),
        (
            "hash",
            "{ name = \"a\", type = \"money\" }",
            "",
            "column \"a\" has the unknown type",
        ),
        (
            "hash",
            "{ name = \"a\", type = \"text\", path = \"$\" }",
            "",
            "column \"a\" has the option path",
        ),
        (
            "json",
            "{ name = \"a\", type = \"text\", field = \"b\" }",
            "",
            "column \"a\" has the option field",
        ),
        (
            "json",
            "{ name = \"a\", type = \"text\", path = \"a\" }",
            "",
            "column \"a\": path \"a\" does not begin",
        ),
        (
            "string",
            "\"a text\", \"b text\"",
            "",
            "one column beside those of the key, not 2",
        ),
        (
            "set",
            "\"tag text\"",
            "",
            "column \"tag\" is the field \"tag\", but a set has element",
        ),
        (
            "set",
            "\"element text\", \"score double\"",
            "",
            "a set has element",
        ),
        (
            "zset",
            "\"element text\", \"score int\"",
            "",
            "is the score of an element and has the type integer",
        ),
        (
            "list",
            "\"position int\"",
            "",
            "is the position of an element and has the type integer",
        ),
        (
            "hash",
            "\"a text\"",
            "hidden = [\"_value\"]",
            "needs a value that is one text, not a hash",
        ),
        (
            "hash",
            "\"a text\"",
            "hidden = [\"ttl\"]",
            "unknown variant `ttl`",
        ),
        (
            "hash",
            "\"_key text\"",
            "hidden = [\"_key\"]",
            "column \"_key\" is defined twice",
        ),
        (
            "hash",
            "\"a text\"",
            "invalid = \"skip\"",
            "unknown variant `skip`",
        ),
    ] {
        let problems = table(value, columns, more).unwrap_err();
        assert!(
            problems.concat().contains(part),
            "{value} {columns} {more}: {problems:?}"
        );
    }
    let key = "name = \"t\"\nkey = \"t:{id}:{_key}\"\nhidden = [\"_key\"]\n\
               columns = [{ name = \"id\", type = \"int\", field = \"x\" }]";
    let problems = define(key).unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:?}");
}
