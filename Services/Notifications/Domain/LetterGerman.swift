/// The letters in German.
enum LetterGerman {
    static let months = [
        "Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November", "Dezember",
    ]

    static let terms = [
        "totp": "Authenticator-App", "sms": "SMS", "email": "Code per E-Mail", "webauthn": "Sicherheitsschlüssel oder Passkey",
        "passkey": "Passkey", "recovery": "Wiederherstellungscodes", "recovery-codes": "Wiederherstellungscodes",
        "added": "wurde hinzugefügt", "enabled": "wurde eingeschaltet", "removed": "wurde entfernt", "disabled": "wurde ausgeschaltet",
        "renewed": "wurde erneuert", "reset": "wurde zurückgesetzt",
    ]

    private static let notYou = "Wenn Sie das nicht waren, ändern Sie sofort Ihr Passwort und beenden Sie alle anderen Sitzungen."

    static func words(of letter: LetterTemplate) -> LetterWords {
        switch letter {
        case .verifyEmail:
            LetterWords(
                "Bestätigen Sie Ihre E-Mail-Adresse",
                [
                    .say("Bitte bestätigen Sie, dass diese E-Mail-Adresse Ihnen gehört."),
                    .action("Adresse bestätigen", link: "link"), .code("Oder geben Sie diesen Code ein", value: "code"),
                    .say("Link und Code gelten einmal und {{minutes}} lang."),
                    .quietly("Wenn Sie sich nicht bei Trionex registriert haben, ist nichts zu tun: Ohne Sie geschieht nichts."),
                ])
        case .resetPassword:
            LetterWords(
                "Wählen Sie ein neues Passwort",
                [
                    .say("Für Ihr Konto wurde ein neues Passwort angefordert."),
                    .action("Neues Passwort wählen", link: "link"), .code("Oder geben Sie diesen Code ein", value: "code"),
                    .say("Link und Code gelten einmal und {{minutes}} lang. Danach müssen sich alle Geräte neu anmelden."),
                    .quietly("Wenn Sie das nicht waren, ist nichts zu tun: Ihr Passwort bleibt, wie es ist."),
                ])
        case .passwordChanged:
            LetterWords(
                "Ihr Passwort wurde geändert",
                [
                    .say("Das Passwort Ihres Kontos wurde geändert. Alle anderen Sitzungen sind beendet."),
                    .say(
                        "Wurde es über Ihr Postfach zurückgesetzt, sind auch alle Ihre API-Schlüssel widerrufen; legen Sie bei Bedarf neue an."
                    ),
                    .facts([("Zeit", "when"), ("IP-Adresse", "address")]),
                    .quietly("Wenn Sie das nicht waren, fordern Sie sofort ein neues Passwort an; ohne Ihr Postfach kann das niemand."),
                ])
        case .accountExists:
            LetterWords(
                "Sie haben schon ein Konto",
                [
                    .say("Jemand wollte sich mit Ihrer E-Mail-Adresse registrieren. Sie haben schon ein Konto: Melden Sie sich damit an."),
                    .action("Anmelden oder neues Passwort wählen", link: "link"),
                    .quietly("Wenn Sie das nicht waren, ist nichts zu tun: Es hat sich nichts geändert."),
                ])
        case .signInCode:
            LetterWords(
                "Ihr Code zur Anmeldung",
                short: "{{code}} ist Ihr Code für Trionex. Er gilt einmal und {{minutes}} lang. Sagen Sie ihn niemandem.",
                [
                    .code("Ihr Code zur Anmeldung", value: "code"),
                    .say("Er gilt einmal und {{minutes}} lang. Niemand von uns wird Sie je danach fragen."),
                    .quietly("Wenn Sie sich gerade nicht anmelden, kennt jemand Ihr Passwort: Ändern Sie es."),
                ])
        case .invitation:
            LetterWords(
                "Einladung zu {{organization}}",
                [
                    .say("{{inviter|Jemand}} lädt Sie in die Organisation {{organization}} ein{{#role}}, als {{role}}{{/role}}."),
                    .facts([("Nachricht", "message")]), .action("Einladung annehmen", link: "link"),
                    .say("Die Einladung gilt {{days}}."),
                    .quietly("Wenn Sie nicht wissen, wer Sie einlädt, ist nichts zu tun."),
                ])
        case .newDevice:
            LetterWords(
                "Ein neues Gerät hat sich angemeldet",
                [
                    .say("Jemand hat sich auf einem Gerät, das wir noch nicht kennen, bei Ihrem Konto angemeldet."),
                    .facts([("Zeit", "when"), ("IP-Adresse", "address"), ("Gerät", "agent")]),
                    .quietly("Wenn Sie das waren, ist nichts zu tun. " + notYou),
                ])
        case .accountLocked:
            LetterWords(
                "Die Anmeldung bei Ihrem Konto ruht",
                [
                    .say(
                        "Es gab zu viele Versuche, sich mit einem falschen Passwort anzumelden. Bis {{until}} nimmt Ihr Konto keine mehr an."
                    ),
                    .quietly("Wenn Sie das nicht waren, ist nichts zu tun: Niemand ist hineingekommen. Ein neues Passwort geht jederzeit."),
                ])
        case .mfaChanged:
            LetterWords(
                "Ihre Anmeldearten haben sich geändert",
                [.say("Die Anmeldeart „{{method}}“ {{change}}."), .facts([("Zeit", "when")]), .quietly(notYou)])
        case .recoveryCodeUsed:
            LetterWords(
                "Ein Wiederherstellungscode wurde benutzt",
                [
                    .say("Mit einem Wiederherstellungscode Ihres Kontos hat sich jemand angemeldet. Noch übrig: {{left}}."),
                    .say("Wenn nur noch wenige übrig sind, erstellen Sie neue; die alten gelten dann nicht mehr."), .quietly(notYou),
                ])
        }
    }
}
