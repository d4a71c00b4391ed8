/// Passwords that attackers try first, as far as their length would let them pass (shorter ones are refused for it).
///
/// From the published lists of the most frequent leaked passwords, and words of this product; a larger list comes from a file
/// (`LeakedPasswords`).
enum KnownBadPasswords {
    /// Compared without regard to case.
    static func contains(_ password: String) -> Bool {
        let lowered = password.lowercased()
        return known.contains(lowered) || isOneCharacterRepeated(lowered) || isKeyboardRun(lowered) || isRepeatedPiece(lowered)
    }

    /// Longer ones are not among the first that are tried.
    private static let longestRepetition = 24

    /// `abcabcabcabc`, `1212121212`: one to four characters again and again.
    private static func isRepeatedPiece(_ text: String) -> Bool {
        let characters = Array(text)
        guard characters.count <= longestRepetition else { return false }
        return (1...4).contains { length in
            characters.count > 2 * length && characters.indices.allSatisfy { characters[$0] == characters[$0 % length] }
        }
    }

    private static func isOneCharacterRepeated(_ text: String) -> Bool { Set(text.unicodeScalars).count == 1 }

    /// `1234567890123`, `abcdefghijkl`, and either backwards.
    private static func isKeyboardRun(_ text: String) -> Bool {
        let doubled = ["01234567890123456789012345678901234567890", "abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm"]
        return doubled.contains { $0.contains(text) || String($0.reversed()).contains(text) }
    }

    private static let known: Set<String> = [
        "password10", "password11", "password12", "password123", "password1234", "password12345", "password123456", "passwordpassword",
        "passw0rd123", "p@ssw0rd123", "p@ssword123", "p@ssw0rd1234", "password!23", "password@123", "password1!", "password123!",
        "password1234!", "my password", "mypassword", "mypassword1", "mypassword123", "newpassword", "newpassword1", "changeme123",
        "changeme1234", "changemenow", "letmein123", "letmein1234", "letmeinnow", "letmeinplease", "welcome123", "welcome1234",
        "welcome12345", "welcome2024", "welcome2025", "welcome2026", "qwerty1234", "qwerty12345", "qwerty123456", "qwertyuiop",
        "qwertyuiop1", "qwertyuiop123", "qwertyqwerty", "1q2w3e4r5t", "1q2w3e4r5t6y", "1qaz2wsx3edc", "1qaz2wsx3edc4rfv", "qazwsxedcrfv",
        "zaq12wsxcde3", "q1w2e3r4t5", "q1w2e3r4t5y6", "asdfghjkl;", "asdfghjkl1", "asdfasdfasdf", "zxcvbnm123", "abcd123456",
        "abc1234567", "abc123456789", "abcdef123456", "a123456789", "a1234567890", "aa123456789", "aaa123456789", "1234567890a",
        "123456789a", "12345678910", "1234567891", "123456123456", "1234512345", "0987654321", "9876543210", "1122334455", "112233445566",
        "1111122222", "1212121212", "123123123123", "1231231231", "123321123321", "1029384756", "0123456789", "147258369", "1472583690",
        "159753456852", "789456123", "7894561230", "147852369", "1478523690", "iloveyou12", "iloveyou123", "iloveyou1234",
        "iloveyouforever", "ilovejesus", "jesuschrist", "jesus12345", "godisgood1", "administrator", "administrator1", "admin12345",
        "admin123456", "admin1234567", "adminadmin", "adminadmin1", "admin@12345", "root123456", "rootroot123", "superadmin",
        "superadmin1", "superuser123", "test123456", "test1234567", "testtest123", "testtesttest", "testing123", "testing1234",
        "guest12345", "default123", "demo123456", "user123456", "username123", "football123", "football12", "baseball123", "baseball12",
        "basketball", "basketball1", "superman123", "spiderman123", "batman12345", "pokemon1234", "starwars123", "dragon1234",
        "monkey12345", "princess12", "princess123", "sunshine12", "sunshine123", "michael123", "michelle123", "jennifer123", "charlie123",
        "liverpool1", "liverpool123", "manchester", "manchester1", "chelsea123", "arsenal123", "barcelona1", "realmadrid", "realmadrid1",
        "california", "california1", "australia1", "portugal123", "germany123", "summer2023", "summer2024", "summer2025", "summer2026",
        "winter2023", "winter2024", "winter2025", "winter2026", "spring2024", "spring2025", "spring2026", "autumn2024", "autumn2025",
        "autumn2026", "january2024", "january2025", "january2026", "computer12", "computer123", "internet12", "internet123", "samsung123",
        "iphone12345", "google1234", "facebook12", "facebook123", "microsoft1", "microsoft123", "whatever12", "whatever123",
        "trustno1trustno1", "masterpassword", "master1234", "secret1234", "secret12345", "secretpassword", "topsecret1", "topsecret123",
        "trionex123", "trionex1234", "trionex12345", "trionextrionex", "trionex2024", "trionex2025", "trionex2026", "trionex-trionex",
        "trionex!23",
    ]
}
