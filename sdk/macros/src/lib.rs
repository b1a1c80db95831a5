//! The attribute of foretell-sdk.

use proc_macro::TokenStream;
use quote::quote;

/// Exports a predictor.
#[proc_macro_attribute]
pub fn predictor(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item: syn::ItemImpl = syn::parse_macro_input!(item);
    let model = &item.self_ty;
    quote! {
        #item
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            ::foretell_sdk::__export!(#model);
        };
    }
    .into()
}
