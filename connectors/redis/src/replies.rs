//! How many bytes Redis has sent.

use redis::Value;

/// The bytes of `replies` as Redis writes them (RESP2).
pub(crate) fn reply_bytes(replies: &[Value]) -> usize {
    replies.iter().map(bytes_of).sum()
}

/// The bytes around the replies of a transaction: those to MULTI and to each of its commands, and the head of that to EXEC.
pub(crate) fn transaction_bytes(commands: usize) -> usize {
    "+OK\r\n".len() + commands * "+QUEUED\r\n".len() + line(commands)
}

fn bytes_of(reply: &Value) -> usize {
    match reply {
        Value::Nil => "$-1\r\n".len(),
        Value::Int(number) => 3 + number.to_string().len(),
        Value::BulkString(bytes) => line(bytes.len()) + bytes.len() + 2,
        Value::Array(items) => line(items.len()) + reply_bytes(items),
        Value::SimpleString(text) => 3 + text.len(),
        Value::Okay => "+OK\r\n".len(),
        Value::ServerError(error) => {
            3 + error.code().len() + error.details().map_or(0, |details| 1 + details.len())
        }
        // Nothing else is in the protocol that is spoken.
        _ => 0,
    }
}

/// A sign, a number and the end of the line.
fn line(number: usize) -> usize {
    3 + number.checked_ilog10().map_or(1, |digits| digits as usize + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_have_the_bytes_that_were_sent() {
        for sent in [
            "$-1\r\n",
            ":0\r\n",
            ":-12345\r\n",
            "$0\r\n\r\n",
            "$9\r\nabcdefghi\r\n",
            "$10\r\nabcdefghij\r\n",
            "*0\r\n",
            "*2\r\n$3\r\nabc\r\n*2\r\n:1\r\n$-1\r\n",
            "+OK\r\n",
            "+PONG\r\n",
            "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
            "-ERR unknown command\r\n",
        ] {
            let read = match redis::parse_redis_value(sent.as_bytes()) {
                Ok(value) => value,
                Err(error) => panic!("{sent:?}: {error}"),
            };
            assert_eq!(reply_bytes(&[read]), sent.len(), "{sent:?}");
        }
        let ten: Vec<Value> = (0..10).map(Value::Int).collect();
        assert_eq!(
            reply_bytes(&[Value::Array(ten)]),
            "*10\r\n".len() + 10 * ":0\r\n".len()
        );
        assert_eq!(transaction_bytes(2), "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n".len());
    }
}
