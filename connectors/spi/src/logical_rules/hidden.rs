//! Terms that DataFusion does not look into.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result};
use datafusion::functions::expr_fn::random;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// `term`, which the engine does not look into: it is no column, no sum and no cast to it, and equal to none of them.
pub fn hidden(term: Expr) -> Expr {
    let function = Arc::new(ScalarUDF::from(Term::new(1)));
    Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![term]))
}

/// `key`, which the engine does not look into, and does not take for one value where it is: any function of what has one value
/// has one for it, unless an argument has many.
pub fn hidden_key(key: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(term_of_two(), vec![key, random()]))
}

/// A function that is its first argument, of two.
pub(crate) fn term_of_two() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(Term::new(2)))
}

/// The term that `function` hides.
pub(crate) fn opened(function: &ScalarFunction) -> Option<&Expr> {
    match function.func.inner().is::<Term>() {
        true => function.args.first(),
        false => None,
    }
}

/// Its first argument.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Term {
    signature: Signature,
}

impl Term {
    fn new(arguments: usize) -> Self {
        Self {
            signature: Signature::any(arguments, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for Term {
    fn name(&self) -> &str {
        "term"
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        Ok(args.first().map(ToString::to_string).unwrap_or_default())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let only = types.first().cloned();
        only.ok_or_else(|| DataFusionError::Internal("a term has an argument".to_owned()))
    }

    /// NULL only of NULLs, like the term itself: plans with other fields are refused.
    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<DataType> = args
            .arg_fields
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        let nullable = args.arg_fields.first().is_none_or(|field| field.is_nullable());
        Ok(Arc::new(Field::new(
            self.name(),
            self.return_type(&types)?,
            nullable,
        )))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let only = args.args.into_iter().next();
        only.ok_or_else(|| DataFusionError::Internal("a term has an argument".to_owned()))
    }
}
