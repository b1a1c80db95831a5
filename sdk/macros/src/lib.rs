//! The attribute of foretell-sdk. Use it through that crate.
//!
//! It writes nothing but a call of the SDK's exporting macro, for WebAssembly only, and finds misuse early, so that the
//! compiler's complaint stands at the author's own line and says what to write instead.

use proc_macro::TokenStream;
use quote::quote;
use syn::spanned::Spanned;
use syn::{Error, ImplItem, Item, ItemImpl, Result, parse_macro_input};

/// The functions of the trait, as an author writes them.
const FUNCTIONS: [(&str, &str); 3] = [
    (
        "load",
        "fn load(artifact: &[u8], settings: &Settings) -> Result<Self, LoadError>",
    ),
    ("describe", "fn describe(&self) -> Signature"),
    (
        "predict",
        "fn predict(&self, inputs: &Inputs) -> Result<Outputs, PredictError>",
    ),
];

/// Exports a model from the plugin. Stands on `impl Predictor for YourType`, once in a crate.
///
/// The `impl` itself stays as it is. In a build for WebAssembly the three functions become the exports of the plugin
/// interface; in a native build nothing is added, so that the model is tested as any other type.
#[proc_macro_attribute]
pub fn predictor(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let arguments = proc_macro2::TokenStream::from(arguments);
    let item = parse_macro_input!(item as Item);
    match check(&arguments, &item) {
        Ok(implementation) => export(implementation).into(),
        Err(error) => error.into_compile_error().into(),
    }
}

fn export(implementation: &ItemImpl) -> proc_macro2::TokenStream {
    let model = &implementation.self_ty;
    quote! {
        #implementation

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            ::foretell_sdk::__export!(#model);
        };
    }
}

fn check<'a>(arguments: &proc_macro2::TokenStream, item: &'a Item) -> Result<&'a ItemImpl> {
    if !arguments.is_empty() {
        return Err(Error::new(
            arguments.span(),
            "`#[predictor]` takes no arguments; settings belong to `load`",
        ));
    }
    let Item::Impl(implementation) = item else {
        return Err(Error::new(
            item.span(),
            "`#[predictor]` stands on an impl: write `#[predictor] impl Predictor for YourType { ... }`",
        ));
    };
    let model = &implementation.self_ty;
    let path = match &implementation.trait_ {
        Some((None, path, _)) => path,
        Some((Some(_), path, _)) => return Err(Error::new(path.span(), "this denies the trait")),
        None => {
            return Err(Error::new(
                model.span(),
                format!("write `impl Predictor for {}`", quote!(#model)),
            ));
        }
    };
    if path
        .segments
        .last()
        .is_none_or(|name| name.ident != "Predictor")
    {
        return Err(Error::new(
            path.span(),
            "`#[predictor]` exports the trait `Predictor` and no other",
        ));
    }
    if !implementation.generics.params.is_empty() {
        return Err(Error::new(
            implementation.generics.span(),
            "a plugin exports one type, so it can have no parameters; name a concrete type",
        ));
    }
    missing(implementation)
}

/// One complaint for each function that is not there.
fn missing(implementation: &ItemImpl) -> Result<&ItemImpl> {
    let has = |name: &str| {
        let mut items = implementation.items.iter();
        items.any(|item| match item {
            ImplItem::Fn(function) => function.sig.ident == name,
            // What a macro brings is not known here; the compiler itself will look.
            ImplItem::Macro(_) => true,
            _ => false,
        })
    };
    let place = implementation.self_ty.span();
    let faults = FUNCTIONS
        .iter()
        .filter(|(name, _)| !has(name))
        .map(|(name, form)| Error::new(place, format!("`{name}` is missing: {form}")));
    let all = faults.reduce(|mut all, fault| {
        all.combine(fault);
        all
    });
    all.map_or(Ok(implementation), Err)
}
