//! Refuses statements that would overflow the stack or never be planned, before anything recurses: a stack overflow
//! cannot be caught, and planning takes time exponential in the nesting of functions and of subqueries in expressions.
//!
//! Counted on the tokens: how deep brackets and CASE nest, how many operators one expression chains, how many set
//! operations and joins a statement has.

use datafusion::common::Span;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::error::{QueryError, Result};

/// Deepest nesting of brackets and CASE.
const NESTING_MAX: usize = 200;
/// Deepest nesting of function calls. Each level doubles the time of planning.
const FUNCTIONS_MAX: usize = 18;
/// Deepest nesting of subqueries in expressions. Each level doubles the time of planning.
const SUBQUERIES_MAX: usize = 10;
/// Most operators in one expression.
const OPERATORS_MAX: usize = 1_000;
/// Most tokens of a message: a syntax tree is up to a thousand times as large as its text.
const TOKENS_MAX: usize = 1_000_000;
/// Most statements of a message.
const STATEMENTS_MAX: usize = 10_000;
/// Most UNION, EXCEPT, INTERSECT and JOIN in one statement.
const COMBINATIONS_MAX: usize = 500;

/// What an open bracket belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A list, a grouping, a subquery in FROM, a CASE.
    Plain,
    /// The arguments of a function.
    Function,
    /// A subquery in an expression.
    Subquery,
}

/// One level of brackets.
struct Level {
    kind: Kind,
    /// Whether the bracket stands where a table may: a SELECT inside is no expression.
    in_from: bool,
    /// Operators since its last comma or clause.
    operators: usize,
}

/// Checks all tokens of a message. Errors: 54001 with the place.
pub(super) fn check(tokens: &[TokenWithSpan]) -> Result<()> {
    if tokens.len() > TOKENS_MAX {
        return Err(too_complex(&format!(
            "it has more than {TOKENS_MAX} words and signs"
        )));
    }
    let mut counter = Counter::new();
    for token in tokens {
        if !matches!(token.token, Token::Whitespace(_)) {
            counter
                .count(&token.token)
                .map_err(|what| too_complex(&what).at(Span::try_from_sqlparser_span(token.span)))?;
        }
    }
    Ok(())
}

/// The refusal of a statement that is too complex.
pub(super) fn too_complex(what: &str) -> QueryError {
    QueryError::too_complex("statement is too complex")
        .detail(format!("The statement is refused because {what}."))
        .hint("Use IN lists instead of chained OR, and split the statement.")
}

struct Counter {
    levels: Vec<Level>,
    functions: usize,
    subqueries: usize,
    combinations: usize,
    statements: usize,
    /// The token before.
    last: Token,
}

impl Counter {
    fn new() -> Self {
        let outermost = Level {
            kind: Kind::Plain,
            in_from: true,
            operators: 0,
        };
        Self {
            levels: vec![outermost],
            functions: 0,
            subqueries: 0,
            combinations: 0,
            statements: 0,
            last: Token::SemiColon,
        }
    }

    fn count(&mut self, token: &Token) -> Result<(), String> {
        match step(token) {
            Step::Open => self.open()?,
            Step::Close => self.close(),
            Step::Select => self.select()?,
            Step::NewExpression => self.new_expression(),
            Step::NewStatement => {
                self.combinations = 0;
                self.statements += 1;
                self.new_expression();
                if self.statements > STATEMENTS_MAX {
                    return Err(format!("the message has more than {STATEMENTS_MAX} statements"));
                }
            }
            Step::Operator => self.operator()?,
            Step::Combination => {
                self.combinations += 1;
                self.new_expression();
                if self.combinations > COMBINATIONS_MAX {
                    return Err(format!(
                        "it has more than {COMBINATIONS_MAX} joins and set operations"
                    ));
                }
            }
            Step::Other => {}
        }
        self.last = token.clone();
        Ok(())
    }

    fn open(&mut self) -> Result<(), String> {
        let kind = if is_name(&self.last) {
            Kind::Function
        } else {
            Kind::Plain
        };
        let in_from = match &self.last {
            Token::Word(word) => [
                Keyword::FROM,
                Keyword::JOIN,
                Keyword::LATERAL,
                Keyword::AS,
                Keyword::UNION,
                Keyword::ALL,
                Keyword::EXCEPT,
                Keyword::INTERSECT,
            ]
            .contains(&word.keyword),
            // Brackets in brackets stand where the outer ones do.
            Token::LParen => self.levels.last().is_some_and(|level| level.in_from),
            _ => false,
        };
        self.functions += usize::from(kind == Kind::Function);
        self.levels.push(Level {
            kind,
            in_from,
            operators: 0,
        });
        if self.functions > FUNCTIONS_MAX {
            return Err(format!("it nests more than {FUNCTIONS_MAX} function calls"));
        }
        if self.levels.len() > NESTING_MAX {
            return Err(format!("it nests more than {NESTING_MAX} levels deep"));
        }
        Ok(())
    }

    fn close(&mut self) {
        if self.levels.len() > 1
            && let Some(level) = self.levels.pop()
        {
            self.functions -= usize::from(level.kind == Kind::Function);
            self.subqueries -= usize::from(level.kind == Kind::Subquery);
        }
    }

    fn select(&mut self) -> Result<(), String> {
        let opened = self.last == Token::LParen;
        if let Some(level) = self.levels.last_mut().filter(|level| opened && !level.in_from) {
            // EXISTS (SELECT ...) and the like look like functions until now.
            self.functions -= usize::from(level.kind == Kind::Function);
            level.kind = Kind::Subquery;
            self.subqueries += 1;
        }
        self.new_expression();
        if self.subqueries > SUBQUERIES_MAX {
            return Err(format!(
                "it nests more than {SUBQUERIES_MAX} subqueries in expressions"
            ));
        }
        Ok(())
    }

    fn operator(&mut self) -> Result<(), String> {
        let Some(level) = self.levels.last_mut() else {
            return Ok(());
        };
        level.operators += 1;
        if level.operators > OPERATORS_MAX {
            return Err(format!("one expression has more than {OPERATORS_MAX} operators"));
        }
        Ok(())
    }

    fn new_expression(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            level.operators = 0;
        }
    }
}

/// Whether a bracket after `token` holds the arguments of a function.
fn is_name(token: &Token) -> bool {
    let Token::Word(word) = token else { return false };
    !matches!(
        step(token),
        Step::Operator | Step::Open | Step::NewExpression | Step::Combination | Step::Select
    ) && ![
        Keyword::AS,
        Keyword::VALUES,
        Keyword::ON,
        Keyword::USING,
        Keyword::OVER,
        Keyword::ALL,
        Keyword::BY,
    ]
    .contains(&word.keyword)
}

enum Step {
    Open,
    Close,
    Select,
    NewExpression,
    NewStatement,
    Operator,
    Combination,
    Other,
}

fn step(token: &Token) -> Step {
    match token {
        Token::LParen | Token::LBracket | Token::LBrace => Step::Open,
        Token::RParen | Token::RBracket | Token::RBrace => Step::Close,
        Token::Comma => Step::NewExpression,
        Token::SemiColon => Step::NewStatement,
        Token::Word(word) => word_step(word.keyword),
        Token::EOF
        | Token::Whitespace(_)
        | Token::Number(..)
        | Token::Char(_)
        | Token::SingleQuotedString(_)
        | Token::DollarQuotedString(_)
        | Token::EscapedStringLiteral(_)
        | Token::UnicodeStringLiteral(_)
        | Token::NationalStringLiteral(_)
        | Token::HexStringLiteral(_)
        | Token::Period
        | Token::Placeholder(_) => Step::Other,
        _ => Step::Operator,
    }
}

fn word_step(keyword: Keyword) -> Step {
    match keyword {
        Keyword::CASE => Step::Open,
        Keyword::END => Step::Close,
        Keyword::SELECT => Step::Select,
        Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::JOIN => Step::Combination,
        Keyword::FROM
        | Keyword::WHERE
        | Keyword::GROUP
        | Keyword::HAVING
        | Keyword::ORDER
        | Keyword::WHEN
        | Keyword::THEN
        | Keyword::ELSE => Step::NewExpression,
        Keyword::AND
        | Keyword::OR
        | Keyword::NOT
        | Keyword::IS
        | Keyword::IN
        | Keyword::LIKE
        | Keyword::ILIKE
        | Keyword::BETWEEN
        | Keyword::SIMILAR
        | Keyword::COLLATE
        | Keyword::AT => Step::Operator,
        _ => Step::Other,
    }
}
