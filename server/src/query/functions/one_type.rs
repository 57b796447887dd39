//! Functions whose arguments are all of one type: a quoted literal among them has the type of the others.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use crate::query::literals::{OF_ONE_TYPE, is_read};

/// `name` if it is one of them.
pub(super) fn of_one_type(name: &str, functions: &HashMap<String, Arc<ScalarUDF>>) -> Option<Arc<ScalarUDF>> {
    if !OF_ONE_TYPE.contains(&name) {
        return None;
    }
    let inner = Arc::clone(functions.get(name)?);
    Some(Arc::new(ScalarUDF::new_from_impl(OneType { inner })))
}

/// Only the types of its arguments are other ones than those of `inner`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct OneType {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for OneType {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.inner().return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.inner().return_field_from_args(args)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        // Literals are planned as Utf8; columns, and what is cast to text, are not.
        let typed = types.iter().find(|given| is_read(given));
        let wanted = types.iter().map(|given| match (given, typed) {
            (DataType::Utf8, Some(typed)) => typed.clone(),
            _ => given.clone(),
        });
        self.inner.coerce_types(&wanted.collect::<Vec<_>>())
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.inner().simplify(args, info)
    }

    fn conditional_arguments<'a>(&self, args: &'a [Expr]) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        self.inner.conditional_arguments(args)
    }

    fn short_circuits(&self) -> bool {
        self.inner.short_circuits()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.inner.invoke_with_args(args)
    }
}
