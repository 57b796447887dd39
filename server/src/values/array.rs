//! Arrays as PostgreSQL reads them.

/// The items of `{1,NULL,"a b"}`, one dimension.
pub(crate) fn items(text: &str) -> Option<Vec<Option<String>>> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut items = Vec::new();
    let mut characters = inner.chars().peekable();
    if inner.trim().is_empty() {
        return Some(items);
    }
    loop {
        while characters
            .next_if(|character| character.is_whitespace())
            .is_some()
        {}
        let (mut item, mut quoted) = (String::new(), false);
        loop {
            match characters.peek()? {
                '"' if item.is_empty() && !quoted => {
                    quoted = true;
                    characters.next();
                    loop {
                        match characters.next()? {
                            '"' => break,
                            '\\' => item.push(characters.next()?),
                            other => item.push(other),
                        }
                    }
                    break;
                }
                ',' | '{' | '}' | '"' => break,
                '\\' => {
                    characters.next();
                    item.push(characters.next()?);
                }
                _ => item.extend(characters.next()),
            }
            if characters.peek().is_none() {
                break;
            }
        }
        let item = if quoted { item } else { item.trim_end().to_owned() };
        if item.is_empty() && !quoted {
            return None;
        }
        let null = !quoted && item.eq_ignore_ascii_case("null");
        items.push((!null).then_some(item));
        while characters
            .next_if(|character| character.is_whitespace())
            .is_some()
        {}
        match characters.next() {
            None => return Some(items),
            Some(',') => {}
            Some(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_quoted_or_bare() {
        assert_eq!(
            items("{\"a \\\"b\\\"\", c d , null, \"null\", \"\"}").unwrap(),
            [
                Some("a \"b\"".to_owned()),
                Some("c d".to_owned()),
                None,
                Some("null".to_owned()),
                Some(String::new())
            ]
        );
    }
}
