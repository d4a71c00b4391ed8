import ServiceKit
import UsersService

@main
struct Main {
    static func main() async { await Launch.run(Users.self) }
}
