//! Users, and who is in.

use foretell_types::ErrorKind;

use super::{Access, Content, Operation};

const MANAGES: Access = Access::Manages(&["keys"]);

const JSON: &str = "application/json";
const TAG: &str = "users";
const NOT_FOUND: &[ErrorKind] = &[ErrorKind::NotFound];
/// What letting somebody in may come to who shows nothing but a body.
const LETS_IN: &[ErrorKind] = &[
    ErrorKind::Unauthenticated,
    ErrorKind::Forbidden,
    ErrorKind::RateLimited,
    ErrorKind::Overloaded,
    ErrorKind::Unavailable,
];
const SETS_UP: &[ErrorKind] = &[
    ErrorKind::Unauthenticated,
    ErrorKind::Forbidden,
    ErrorKind::Conflict,
    ErrorKind::Overloaded,
    ErrorKind::Unavailable,
];

pub(super) fn all() -> [Operation; 11] {
    const ONE: &str = "/api/users/{user}";
    const ALL: &str = "/api/users";
    [
        Operation::of(
            "POST",
            "/api/login",
            TAG,
            "Begins a session, which is a cookie; `csrf` is shown this once",
        )
        .takes(&[(JSON, "Login")])
        .gives("LoggedIn")
        .fails(LETS_IN),
        Operation::of("POST", "/api/logout", TAG, "Ends the session")
            .needs(Access::Session)
            .answers(204, "it is over", Content::Nothing),
        Operation::of("GET", "/api/session", TAG, "Who is in")
            .needs(Access::Session)
            .gives("Session"),
        Operation::of(
            "POST",
            "/api/setup",
            TAG,
            "Makes the first operator, with the token that the server shows on its console",
        )
        .takes(&[(JSON, "Setup")])
        .answers(201, "it is made", Content::Json("User"))
        .fails(SETS_UP),
        Operation::of("GET", ALL, TAG, "The users")
            .needs(MANAGES)
            .gives("Users"),
        Operation::of("POST", ALL, TAG, "Makes a user")
            .needs(MANAGES)
            .takes(&[(JSON, "NewUser")])
            .answers(201, "it is made", Content::Json("User"))
            .fails(&[ErrorKind::Conflict, ErrorKind::Overloaded]),
        Operation::of("GET", ONE, TAG, "A user")
            .needs(MANAGES)
            .gives("User")
            .fails(NOT_FOUND),
        Operation::of(
            "PATCH",
            ONE,
            TAG,
            "Gives a user other roles, or closes the door to it; its sessions end",
        )
        .needs(MANAGES)
        .takes(&[(JSON, "UserChange")])
        .gives("User")
        .fails(NOT_FOUND),
        Operation::of(
            "DELETE",
            ONE,
            TAG,
            "Deletes a user for good; its sessions end",
        )
        .needs(MANAGES)
        .gives("DeletedUser")
        .fails(NOT_FOUND),
        Operation::of(
            "PUT",
            "/api/users/{user}/password",
            TAG,
            "Sets a password, one's own in a session too; the user's sessions end",
        )
        .needs(MANAGES)
        .takes(&[(JSON, "NewPassword")])
        .gives("User")
        .fails(&[
            ErrorKind::NotFound,
            ErrorKind::RateLimited,
            ErrorKind::Overloaded,
        ]),
        Operation::of(
            "DELETE",
            "/api/users/{user}/sessions",
            TAG,
            "Ends all sessions of a user, one's own in a session too",
        )
        .needs(MANAGES)
        .gives("EndedSessions")
        .fails(NOT_FOUND),
    ]
}
