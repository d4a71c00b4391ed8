/// The letters in English.
enum LetterEnglish {
    static let months = [
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
    ]

    static let terms = [
        "totp": "authenticator app", "sms": "text message", "email": "e-mail code", "webauthn": "security key or passkey",
        "passkey": "passkey", "recovery": "recovery codes", "recovery-codes": "recovery codes",
        "added": "was added", "enabled": "was switched on", "removed": "was removed", "disabled": "was switched off",
        "renewed": "was renewed", "reset": "was reset",
    ]

    private static let notYou = "If this was not you, change your password at once and end all other sessions."

    static func words(of letter: LetterTemplate) -> LetterWords {
        switch letter {
        case .verifyEmail:
            LetterWords(
                "Confirm your e-mail address",
                [
                    .say("Please confirm that this e-mail address is yours."),
                    .action("Confirm the address", link: "link"), .code("Or enter this code", value: "code"),
                    .say("The link and the code work once, for {{minutes}}."),
                    .quietly("If you have not registered with Trionex, you can ignore this message: nothing happens without you."),
                ])
        case .resetPassword:
            LetterWords(
                "Choose a new password",
                [
                    .say("Somebody has asked for a new password for your account."),
                    .action("Choose a new password", link: "link"), .code("Or enter this code", value: "code"),
                    .say("The link and the code work once, for {{minutes}}. Afterwards all devices have to sign in again."),
                    .quietly("If it was not you, you can ignore this message: your password stays as it is."),
                ])
        case .passwordChanged:
            LetterWords(
                "Your password has been changed",
                [
                    .say("The password of your account has been changed. All other sessions have ended."),
                    .say(
                        "If it was reset through your mailbox, all your API keys have been revoked too: make new ones where you need them."),
                    .facts([("Time", "when"), ("IP address", "address")]),
                    .quietly("If this was not you, ask for a new password at once; nobody can do that without your mailbox."),
                ])
        case .accountExists:
            LetterWords(
                "You already have an account",
                [
                    .say("Somebody has tried to register with your e-mail address. You already have an account: sign in with it."),
                    .action("Sign in, or choose a new password", link: "link"),
                    .quietly("If it was not you, you can ignore this message: nothing has changed."),
                ])
        case .signInCode:
            LetterWords(
                "Your sign-in code",
                short: "{{code}} is your Trionex code. It works once, for {{minutes}}. Tell it to nobody.",
                [
                    .code("Your code to sign in", value: "code"),
                    .say("It works once, for {{minutes}}. Nobody of ours will ever ask you for it."),
                    .quietly("If you are not signing in just now, somebody knows your password: change it."),
                ])
        case .invitation:
            LetterWords(
                "Invitation to {{organization}}",
                [
                    .say("{{inviter|Somebody}} has invited you to the organization {{organization}}{{#role}}, as {{role}}{{/role}}."),
                    .facts([("Message", "message")]), .action("Accept the invitation", link: "link"),
                    .say("The invitation holds for {{days}}."),
                    .quietly("If you do not know who invites you, you can ignore this message."),
                ])
        case .newDevice:
            LetterWords(
                "A new device has signed in",
                [
                    .say("Somebody has signed in to your account on a device that we have not seen before."),
                    .facts([("Time", "when"), ("IP address", "address"), ("Device", "agent")]),
                    .quietly("If it was you, there is nothing to do. " + notYou),
                ])
        case .accountLocked:
            LetterWords(
                "Sign-in is paused for your account",
                [
                    .say(
                        "There were too many attempts to sign in to your account with a wrong password. It takes no more until {{until}}."),
                    .quietly("If it was not you, there is nothing to do: nobody has got in. You can choose a new password at any time."),
                ])
        case .mfaChanged:
            LetterWords(
                "Your sign-in methods have changed",
                [
                    .say("The method “{{method}}” {{change}} for your account."), .facts([("Time", "when")]), .quietly(notYou),
                ])
        case .recoveryCodeUsed:
            LetterWords(
                "A recovery code was used",
                [
                    .say("A recovery code of your account was used to sign in. Codes left: {{left}}."),
                    .say("When few are left, make new ones; the old ones then stop working."), .quietly(notYou),
                ])
        }
    }
}
