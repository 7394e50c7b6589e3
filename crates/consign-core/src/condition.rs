//! The condition *Only when*: `data.score < 3 and data.site in ["LIS","OPO"]`. Read once, then asked for
//! every event.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Number, Value};

use crate::catalog::Fault;
use crate::template::{EventFacts, FactPath, excerpt, read_literal};
use crate::time::Timestamp;

/// Longer conditions belong into the sender.
const CHARACTERS_MAX: usize = 2_000;
/// Brackets and `not` within each other; bounds the stack.
const DEPTH_MAX: u32 = 32;

/// A condition on an event. A comparison with a path that is missing is false.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    text: String,
    expression: Expression,
}

#[derive(Clone, Debug, PartialEq)]
enum Expression {
    Any(Vec<Self>),
    All(Vec<Self>),
    Not(Box<Self>),
    Exists(FactPath),
    Compare(Operand, Operator, Operand),
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Path(FactPath),
    Literal(Value),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Contains,
    StartsWith,
}

impl Condition {
    /// Reads a condition.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text.chars().nth(CHARACTERS_MAX).is_some() {
            return Err(Fault::new("too_long", "Only when must be 2,000 characters or fewer"));
        }
        let mut reader = Reader { rest: text.trim_start(), depth: 0 };
        let read = reader.any().and_then(|expression| {
            let ended = reader.rest.is_empty();
            if ended { Ok(expression) } else { Err(reader.expected("and, or, or the end is expected")) }
        });
        read.map(|expression| Self { text: text.to_owned(), expression }).map_err(|problem| {
            let Problem { at, what } = problem;
            Fault::new("bad_form", format!("The condition has an error at “{at}”: {what}"))
        })
    }

    /// As typed.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the event meets the condition. `data` is `Null` when the event's data is not JSON.
    pub fn matches(&self, event: &EventFacts<'_>, data: &Value) -> bool {
        self.expression.holds(event, data)
    }
}

impl Expression {
    fn holds(&self, event: &EventFacts<'_>, data: &Value) -> bool {
        match self {
            Self::Any(parts) => parts.iter().any(|part| part.holds(event, data)),
            Self::All(parts) => parts.iter().all(|part| part.holds(event, data)),
            Self::Not(part) => !part.holds(event, data),
            Self::Exists(path) => path.find_in_event(event, data).is_some(),
            Self::Compare(left, operator, right) => {
                let (Some(left), Some(right)) = (left.value(event, data), right.value(event, data)) else {
                    return false;
                };
                operator.holds(&left, &right)
            }
        }
    }
}

impl Operand {
    fn value<'a>(&'a self, event: &EventFacts<'a>, data: &'a Value) -> Option<Cow<'a, Value>> {
        match self {
            Self::Path(path) => path.find_in_event(event, data),
            Self::Literal(value) => Some(Cow::Borrowed(value)),
        }
    }
}

impl Operator {
    fn holds(self, left: &Value, right: &Value) -> bool {
        match self {
            Self::Equal => equal(left, right),
            Self::NotEqual => !equal(left, right),
            Self::Less => order(left, right).is_some_and(Ordering::is_lt),
            Self::LessOrEqual => order(left, right).is_some_and(Ordering::is_le),
            Self::Greater => order(left, right).is_some_and(Ordering::is_gt),
            Self::GreaterOrEqual => order(left, right).is_some_and(Ordering::is_ge),
            Self::In => right.as_array().is_some_and(|items| items.iter().any(|item| equal(left, item))),
            Self::Contains => match (left, right) {
                (Value::String(text), Value::String(part)) => text.contains(part.as_str()),
                (Value::Array(items), part) => items.iter().any(|item| equal(item, part)),
                _ => false,
            },
            Self::StartsWith => match (left, right) {
                (Value::String(text), Value::String(start)) => text.starts_with(start.as_str()),
                _ => false,
            },
        }
    }
}

/// Numbers by value, so that 3 equals 3.0; everything else as JSON.
fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => order_numbers(left, right) == Some(Ordering::Equal),
        _ => left == right,
    }
}

/// Numbers by value, times by time, other strings by their characters; nothing else has an order.
fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => order_numbers(left, right),
        (Value::String(left), Value::String(right)) => {
            match (Timestamp::parse_rfc3339(left), Timestamp::parse_rfc3339(right)) {
                (Some(left), Some(right)) => Some(left.cmp(&right)),
                _ => Some(left.cmp(right)),
            }
        }
        _ => None,
    }
}

fn order_numbers(left: &Number, right: &Number) -> Option<Ordering> {
    let whole = |number: &Number| number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    match (whole(left), whole(right)) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

/// What is wrong, and where.
struct Problem {
    at: String,
    what: &'static str,
}

/// A reader that goes from left to right; `rest` never starts with white space.
struct Reader<'a> {
    rest: &'a str,
    depth: u32,
}

impl<'a> Reader<'a> {
    fn any(&mut self) -> Result<Expression, Problem> {
        let first = self.all()?;
        let mut parts = vec![first];
        while self.take_word("or") {
            parts.push(self.all()?);
        }
        Ok(single_or(parts, Expression::Any))
    }

    fn all(&mut self) -> Result<Expression, Problem> {
        let first = self.one()?;
        let mut parts = vec![first];
        while self.take_word("and") {
            parts.push(self.one()?);
        }
        Ok(single_or(parts, Expression::All))
    }

    fn one(&mut self) -> Result<Expression, Problem> {
        if self.depth == DEPTH_MAX {
            return Err(self.expected("brackets and not are nested too deeply"));
        }
        self.depth += 1;
        let expression = if self.take_word("not") {
            Expression::Not(Box::new(self.one()?))
        } else if self.take("(") {
            let inner = self.any()?;
            if !self.take(")") {
                return Err(self.expected(") is expected"));
            }
            inner
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(expression)
    }

    fn comparison(&mut self) -> Result<Expression, Problem> {
        let left = self.operand()?;
        let start = self.rest;
        if self.take_word("exists") {
            return match left {
                Operand::Path(path) => Ok(Expression::Exists(path)),
                Operand::Literal(_) => Err(Problem::at(start, "only a path can exist")),
            };
        }
        let operator = self.operator()?;
        let start = self.rest;
        let right = self.operand()?;
        match (operator, &right) {
            (Operator::In, Operand::Literal(value)) if !value.is_array() => {
                Err(Problem::at(start, "a list such as [\"a\", \"b\"] is expected"))
            }
            (Operator::StartsWith, Operand::Literal(value)) if !value.is_string() => {
                Err(Problem::at(start, "a text in quotation marks is expected"))
            }
            _ => Ok(Expression::Compare(left, operator, right)),
        }
    }

    fn operator(&mut self) -> Result<Operator, Problem> {
        // Longer signs first.
        let signs = [
            ("==", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        let words =
            [("in", Operator::In), ("contains", Operator::Contains), ("starts_with", Operator::StartsWith)];
        let sign = signs.into_iter().find(|(sign, _)| self.take(sign));
        sign.or_else(|| words.into_iter().find(|(word, _)| self.take_word(word)))
            .map(|(_, operator)| operator)
            .ok_or_else(|| self.expected("a comparison such as == is expected"))
    }

    fn operand(&mut self) -> Result<Operand, Problem> {
        if let Some((value, rest)) = read_literal(self.rest) {
            self.rest = rest.trim_start();
            return Ok(Operand::Literal(value));
        }
        match FactPath::read(self.rest) {
            Ok((path, rest)) if path.is_of_event() => {
                self.rest = rest.trim_start();
                Ok(Operand::Path(path))
            }
            Ok(_) | Err(_) => {
                Err(self.expected("a path that starts with event. or data., or a JSON value, is expected"))
            }
        }
    }

    fn take(&mut self, sign: &str) -> bool {
        let after = self.rest.strip_prefix(sign);
        self.rest = after.map_or(self.rest, str::trim_start);
        after.is_some()
    }

    fn take_word(&mut self, word: &str) -> bool {
        let after: Option<&'a str> = self.rest.strip_prefix(word);
        let ends = after.is_some_and(|after| !after.starts_with(|c: char| c.is_alphanumeric() || c == '_'));
        ends && self.take(word)
    }

    fn expected(&self, what: &'static str) -> Problem {
        Problem::at(self.rest, what)
    }
}

impl Problem {
    fn at(rest: &str, what: &'static str) -> Self {
        Self { at: excerpt(rest), what }
    }
}

/// The only part, or all of them together.
fn single_or(mut parts: Vec<Expression>, together: fn(Vec<Expression>) -> Expression) -> Expression {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            together(parts)
        }
    }
}

#[cfg(test)]
mod tests;
